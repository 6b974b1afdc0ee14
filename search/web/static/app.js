import{a as $,b as Q,c as _,d as U,e as X,f as Y,g as Z,h as tt}from"./chunk-MPNIEUNI.js";import{C as K,D as A,E as L,F as S,I as T,K as R,M as O,a as G,b as h,c as m,e as H,g as V,h as v,i as n,j as C,k as q,n as B,o as x,p as D,q as d,r as g,s as y,t as J,u as w,v as E,x as N,y as z,z as f}from"./chunk-VQPUBYEU.js";var et=7,it={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",type:"Types"};function ot(){if(!y.value)return null;let t=L.value?.facets;return n`<aside class="facets" aria-label="Filters">
    ${t&&Object.entries(it).map(([o,e])=>{let a=o==="on"?lt(t.on):Object.entries(t[o]??{});return a.length>0&&n`<${rt} key=${o} ...${{field:o,title:e,values:a}} />`})}
    ${S.value&&n`<p class="about">${Object.entries(S.value.items).map(([o,e])=>`${e.toLocaleString("en")} ${o} items`).join(", ")}
      ${S.value.failed>0&&n`<br />${S.value.failed} files could not be read`}</p>`}
  </aside>`}function lt(t={}){let o=d.value.filters.find(({field:l,value:s})=>l==="on"&&/^\d{4}/.test(s)),e=new Map,a=[];for(let[l,s]of Object.entries(t)){let i=l.slice(0,4);e.set(i,(e.get(i)??0)+s),o?.value.startsWith(i)&&a.push([l,s])}return a.length?a:[...e].sort(([l],[s])=>s.localeCompare(l))}function rt({field:t,title:o,values:e}){let[a,l]=h(!1),{filters:s}=d.value,i=(c,p)=>s.some(k=>k.field===t&&k.value===c&&k.negated===p),r=a?e:e.slice(0,et);return n`<section>
    <h2>${o}</h2>
    <ul>
      ${r.map(([c,p])=>n`<li key=${c}>
        <button aria-pressed=${i(c,!1)} class=${i(c,!0)?"out":""} title=${c} onClick=${()=>z(t,c)}>
          <span>${ct(t,c,e)}</span><small>${p.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${e.length>et&&n`<button class="plain" onClick=${()=>l(!a)}>${a?"Fewer":`All ${e.length}`}</button>`}
  </section>`}function ct(t,o,e){if(t==="on"&&o.length===7)return new Date(`${o}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(t!=="in")return o;let a=o.split("/").at(-1)||o;return e.filter(([s])=>s.split("/").at(-1)===a).length>1?o.split("/").slice(-2).join("/"):a}var b=V(null);function nt(){return b.value?b.value.kind==="tag"?n`<${ut} ids=${b.value.ids} />`:n`<${dt} />`:null}function at(){let t=H(null);return m(()=>t.current.showModal(),[]),t}var I=()=>b.value=null;function ut({ids:t}){let o=at(),[e,a]=h(""),l=async i=>{try{await q("api/tags",{tag:e.trim(),ids:t,remove:i}),f(i?`\u201C${e.trim()}\u201D taken off`:`${t.length} tagged \u201C${e.trim()}\u201D`),I(),T()}catch(r){f(r.message)}},s=Object.keys(L.value?.facets.tag??{});return n`<dialog ref=${o} aria-labelledby="tag-title" onClose=${I}>
    <form method="dialog" onSubmit=${i=>{i.preventDefault(),e.trim()&&l(!1)}}>
      <h2 id="tag-title">Tag ${t.length} ${t.length===1?"photo":"photos"}</h2>
      <p class="soft">The tag is kept in the library; no file is changed.</p>
      <input class="field" list="tags" aria-label="Tag" maxlength="100" value=${e} onInput=${i=>a(i.currentTarget.value)} autofocus />
      <datalist id="tags">${s.map(i=>n`<option value=${i} />`)}</datalist>
      <div class="buttons">
        <button type="button" onClick=${()=>o.current.close()}>Cancel</button>
        <button type="button" disabled=${!s.some(i=>i.toLowerCase()===e.trim().toLowerCase())} onClick=${()=>l(!0)}>Take off</button>
        <button class="main" disabled=${!e.trim()}>Tag</button>
      </div>
    </form>
  </dialog>`}function dt(){let t=at(),[o,e]=h(null),[a,l]=h([]),[s,i]=h([]),[r,c]=h(null);m(()=>{C("api/folders",o===null?{}:{path:o}).then(u=>l(u.folders),u=>f(u.message))},[o]);let p=u=>ht(u,(M,P)=>{M==="progress"&&c(j=>({...j,...P})),M==="end"&&(c(j=>({...j,end:P})),O(),T())});m(()=>{fetch("api/index").then(u=>u.ok&&p(u),()=>{})},[]);let k=async()=>{c({total:0,files:0,failed:0,end:null});let u=await fetch("api/index",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({path:o})});return u.ok?p(u):(c(null),f((await u.json()).detail))},W=r&&!r.end;return n`<dialog class="index" ref=${t} aria-labelledby="index-title" onClose=${I}>
    <h2 id="index-title">Add photos</h2>
    ${W?n`<p>${r.total?`${r.files.toLocaleString("en")} of ${r.total.toLocaleString("en")} files`:"Looking through the folder \u2026"}${r.failed?`, ${r.failed} could not be read`:""}</p>
        <progress max=${r.total||1} value=${r.files} aria-label="Indexing"></progress>`:n`${r?.end&&n`<p role="status">${pt(r.end)}</p>`}
        <p class="path">${o??"Folders that this server may index"}</p>
        <ul class="folders">
          ${s.length>0&&n`<li><button onClick=${()=>{e(s.at(-1)),i(s.slice(0,-1))}}>‹ back</button></li>`}
          ${a.map(u=>n`<li key=${u}><button onClick=${()=>{i([...s,o]),e(u)}}>${u.split("/").at(-1)||u}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${()=>t.current.close()}>Close</button>
      ${W?n`<button class="main" onClick=${()=>fetch("api/index",{method:"DELETE"})}>Stop</button>`:n`<button class="main" disabled=${o===null} onClick=${k}>Index this folder</button>`}
    </div>
  </dialog>`}function pt({problem:t,embedded:o,moved:e,failed:a,unchanged:l,interrupted:s}){if(t)return t;let i=[`${o} new`,e&&`${e} moved`,l&&`${l} unchanged`,a&&`${a} could not be read`];return`${s?"Stopped; what is done is kept: ":"Done: "}${i.filter(Boolean).join(", ")}`}async function ht(t,o){let e=t.body.pipeThrough(new TextDecoderStream).getReader(),a="";for(;;){let{done:l,value:s}=await e.read();if(l)return;a+=s;let i=a.split(`

`);a=i.pop();for(let r of i){let[,c,p]=/^event: (.*)\ndata: (.*)$/s.exec(r)??[];c&&o(c,JSON.parse(p))}}}function $t(){return m(()=>{O();let t=o=>{o.key==="Escape"&&g.value.size&&!d.value.open&&(g.value=new Set)};return addEventListener("keydown",t),()=>removeEventListener("keydown",t)},[]),n`
    <a class="skip" href="#main" onClick=${t=>{t.preventDefault(),(document.querySelector("[data-photo][tabindex='0']")??document.querySelector("main")).focus()}}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${t=>{t.preventDefault(),w(D)}}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${_} />
      <button class="plain facet-button" aria-expanded=${y.value} aria-label="Filters" title="Filters"
        onClick=${()=>y.value=!y.value}><${$} name="filter" /></button>
    </header>
    <div class="body">
      <${ot} />
      <main id="main" tabindex="-1">
        <${ft} />
        <${U} />
        ${st(d.value)?n`<${mt} view=${d.value.view} />`:n`<${bt} /><${yt} /><${tt} /><${wt} />`}
      </main>
    </div>
    <${X} />
    <${nt} />
    ${Q.value&&n`<${Y} />`}
    <p class="toast" role="status" aria-live="polite">${J.value}</p>
  `}var F={"":["Photos","grid"],groups:["Groups","groups"],map:["Map","map"],duplicates:["Duplicates","twins"]},st=({view:t,group:o,terms:e})=>!!(F[t]&&t&&o===null&&!e.length);function ft(){let{view:t}=d.value,[o,e]=h([]);return m(()=>{C("api/folders").then(({folders:a})=>e(a),()=>{})},[]),n`<nav class="views" aria-label="Views">
    ${Object.entries(F).map(([a,[l,s]])=>n`<button key=${a} aria-current=${(st(d.value)?t:"")===a?"page":null}
      onClick=${()=>w(a?{...D,view:a}:{view:"",group:null})}><${$} name=${s} />${l}</button>`)}
    ${o.length>0&&n`<button class="add" onClick=${()=>b.value={kind:"index"}}><${$} name="like" />Add photos</button>`}
  </nav>`}function mt({view:t}){let[o,e]=h(null);return m(()=>{import("./views-NP6ODGXB.js").then(e,()=>f("This view could not be loaded."))},[]),o?n`<h1 class="unseen">${F[t][0]}</h1><${{groups:o.Groups,map:o.Map_,duplicates:o.Duplicates}[t]} />`:null}var gt=({sort:t,right:o,wrong:e})=>(!t||t===B)&&!o.length&&!e.length;function bt(){let{state:t,total:o,fits:e,hits:a,notes:l}=A.value,s=E(d.value),i=R.value,r=i?.good??o,c=t==="loading"&&!i?"Looking\u2026":t==="error"||!i?"Photos":s?e===0?"Nothing fits":e==null?"The nearest":`${r.toLocaleString("en")} ${r===1?"photo fits":"photos fit"}`:`${(o??0).toLocaleString("en")} photos`;return n`<div class="heading-line" aria-live="polite">
    <h1>${c}</h1>
    ${t==="loading"&&n`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${s&&a?.length>0&&gt(d.value)&&n`<${vt} />`}
    <span class="space"></span>
    <${Z} />
    ${l?.filter(p=>!p.startsWith("Nothing fits")).map(p=>n`<p class="note">${p}</p>`)}
  </div>`}function vt(){let{fits:t}=d.value,o=Math.max(0,x.indexOf(t));return n`<label class="relevance" title="How strictly photos have to fit">
    <span>all</span>
    <input type="range" min="0" max=${x.length-1} step="1" value=${o} aria-label="How strictly photos have to fit"
      aria-valuetext=${t??"normally"}
      onChange=${e=>w({fits:x[e.currentTarget.value]},{replace:!0})} />
    <span>sure</span>
  </label>`}function yt(){let{state:t,error:o}=A.value,e=R.value;if(t==="error")return n`<div class="trouble" role="alert"><h2>That did not work</h2><p>${o}</p><button class="main" onClick=${T}>Try again</button></div>`;if(t==="loading"&&!e)return n`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(s=>n`<i style=${{flexGrow:s}}></i>`)}</div>`;if(t!=="ready"||e?.ids.length)return null;let{filters:a,terms:l}=d.value;return a.length?n`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>w({filters:[]})}>Remove all filters</button></div>`:l.length?n`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:n`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function wt(){let t=[...g.value];if(!t.length)return null;let o=async()=>{let e=[];for(let a=0;a<t.length;a+=500)e.push(...(await C("api/items",{id:t.slice(a,a+500)})).items);await K(e.map(a=>a.path).join(`
`),`${e.length} paths copied`)};return n`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${t.length} selected</b>
    ${E(d.value)&&n`<button onClick=${()=>(N(t,"right"),g.value=new Set)}><${$} name="check" />Right</button>
      <button onClick=${()=>(N(t,"wrong"),g.value=new Set)}><${$} name="close" />Wrong</button>`}
    <button onClick=${()=>w({...D,terms:t.slice(0,40).map(e=>({id:e,weight:1}))})}><${$} name="like" />More like these</button>
    <button onClick=${()=>o().catch(e=>f(e.message))}><${$} name="copy" />Copy paths</button>
    <form method="post" action="api/download"><input type="hidden" name="ids" value=${t.join(",")} /><button><${$} name="download" />Download</button></form>
    <button onClick=${()=>b.value={kind:"tag",ids:t}}><${$} name="tag" />Tag</button>
    <button class="close" aria-label="Clear the selection" onClick=${()=>g.value=new Set}><${$} name="close" /></button>
  </div>`}v(()=>{let{open:t}=d.value;(t||v.viewer)&&(v.viewer??=import("./viewer-G7LZJT2S.js"),v.viewer.then(({show:o})=>o(t),()=>f("The viewer could not be loaded.")))});v(()=>{let{terms:t}=d.value,o=t.filter(e=>e.text).map(e=>`${e.weight<0?"\u2212 ":""}${e.text}`);document.title=o.length?`${o.join(" ")} \xB7 Descry`:"Descry"});G(n`<${$t} />`,document.body);
