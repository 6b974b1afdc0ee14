import{a as d,b as Q,c as U,d as X,e as Y,f as Z,g as tt,h as et}from"./chunk-4A2KR5ZS.js";import{C as _,D as A,E as L,F as T,G as z,J as k,L as I,N as j,a as P,b as $,c as m,e as G,g as B,h as w,i as n,j as S,k as H,n as V,o as x,p as D,q as c,r as b,s as y,t as J,u as g,v as E,x as N,y as K,z as f}from"./chunk-QJI5ZTLY.js";var ot=7,lt={image:"photos",text:"texts"},rt={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",type:"Types"};function nt(){if(!y.value)return null;let t=L.value?.facets;return n`<aside class="facets" aria-label="Filters">
    ${t&&Object.entries(rt).map(([e,o])=>{let a=e==="on"?ct(t.on):Object.entries(t[e]??{});return a.length>0&&n`<${ut} key=${e} ...${{field:e,title:o,values:a}} />`})}
    ${T.value&&n`<p class="about">${Object.entries(T.value.items).map(([e,o])=>`${o.toLocaleString("en")} ${lt[e]??e}`).join(", ")} in the library
      ${T.value.failed>0&&n`<br />${T.value.failed} files could not be read`}</p>`}
  </aside>`}function ct(t={}){let e=c.value.filters.find(({field:l,value:s})=>l==="on"&&/^\d{4}/.test(s)),o=new Map,a=[];for(let[l,s]of Object.entries(t)){let i=l.slice(0,4);o.set(i,(o.get(i)??0)+s),e?.value.startsWith(i)&&a.push([l,s])}return a.length?a:[...o].sort(([l],[s])=>s.localeCompare(l))}function ut({field:t,title:e,values:o}){let[a,l]=$(!1),{filters:s}=c.value,i=(u,h)=>s.some(C=>C.field===t&&C.value===u&&C.negated===h),r=a?o:o.slice(0,ot);return n`<section>
    <h2>${e}</h2>
    <ul>
      ${r.map(([u,h])=>n`<li key=${u}>
        <button aria-pressed=${i(u,!1)} class=${i(u,!0)?"out":""} title=${u} onClick=${()=>K(t,u)}>
          <span>${pt(t,u,o)}</span><small>${h.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${o.length>ot&&n`<button class="plain" onClick=${()=>l(!a)}>${a?"Fewer":`All ${o.length}`}</button>`}
  </section>`}function pt(t,e,o){if(t==="on"&&e.length===7)return new Date(`${e}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(t==="place")return e.split(", ").slice(0,-1).join(", ");if(t!=="in")return e;let a=e.split("/").at(-1)||e;return o.filter(([s])=>s.split("/").at(-1)===a).length>1?e.split("/").slice(-2).join("/"):a}var v=B(null);function at(){return v.value?v.value.kind==="tag"?n`<${dt} ids=${v.value.ids} />`:n`<${ht} />`:null}function st(){let t=G(null);return m(()=>t.current.showModal(),[]),t}var R=()=>v.value=null;function dt({ids:t}){let e=st(),[o,a]=$(""),l=async i=>{try{await H("api/tags",{tag:o.trim(),ids:t,remove:i}),f(i?`\u201C${o.trim()}\u201D taken off`:`${t.length} tagged \u201C${o.trim()}\u201D`),R(),k()}catch(r){f(r.message)}},s=Object.keys(L.value?.facets.tag??{});return n`<dialog ref=${e} aria-labelledby="tag-title" onClose=${R}>
    <form method="dialog" onSubmit=${i=>{i.preventDefault(),o.trim()&&l(!1)}}>
      <h2 id="tag-title">Tag ${t.length} ${t.length===1?"photo":"photos"}</h2>
      <p class="soft">The tag is kept in the library; no file is changed.</p>
      <input class="field" list="tags" aria-label="Tag" maxlength="100" value=${o} onInput=${i=>a(i.currentTarget.value)} autofocus />
      <datalist id="tags">${s.map(i=>n`<option value=${i} />`)}</datalist>
      <div class="buttons">
        <button type="button" onClick=${()=>e.current.close()}>Cancel</button>
        <button type="button" disabled=${!s.some(i=>i.toLowerCase()===o.trim().toLowerCase())} onClick=${()=>l(!0)}>Take off</button>
        <button class="main" disabled=${!o.trim()}>Tag</button>
      </div>
    </form>
  </dialog>`}function ht(){let t=st(),[e,o]=$(null),[a,l]=$([]),[s,i]=$([]),[r,u]=$(null);m(()=>{S("api/folders",e===null?{}:{path:e}).then(p=>l(p.folders),p=>f(p.message))},[e]);let h=p=>ft(p,(q,M)=>{q==="progress"&&u(O=>({...O,...M})),q==="end"&&(u(O=>({...O,end:M})),j(),k())});m(()=>{fetch("api/index").then(p=>p.ok&&h(p),()=>{})},[]);let C=async()=>{u({total:0,files:0,failed:0,end:null});let p=await fetch("api/index",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({path:e})});return p.ok?h(p):(u(null),f((await p.json()).detail))},W=r&&!r.end;return n`<dialog class="index" ref=${t} aria-labelledby="index-title" onClose=${R}>
    <h2 id="index-title">Add photos</h2>
    ${W?n`<p>${r.total?`${r.files.toLocaleString("en")} of ${r.total.toLocaleString("en")} files`:"Looking through the folder \u2026"}${r.failed?`, ${r.failed} could not be read`:""}</p>
        <progress max=${r.total||1} value=${r.files} aria-label="Indexing"></progress>`:n`${r?.end&&n`<p role="status">${$t(r.end)}</p>`}
        <p class="path">${e??"Folders that this server may index"}</p>
        <ul class="folders">
          ${s.length>0&&n`<li><button onClick=${()=>{o(s.at(-1)),i(s.slice(0,-1))}}>‹ back</button></li>`}
          ${a.map(p=>n`<li key=${p}><button onClick=${()=>{i([...s,e]),o(p)}}><${d} name="folder" />${p.split("/").at(-1)||p}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${()=>t.current.close()}>Close</button>
      ${W?n`<button class="main" onClick=${()=>fetch("api/index",{method:"DELETE"})}>Stop</button>`:n`<button class="main" disabled=${e===null} onClick=${C}>Index this folder</button>`}
    </div>
  </dialog>`}function $t({problem:t,embedded:e,moved:o,failed:a,unchanged:l,interrupted:s}){if(t)return t;let i=[`${e} new`,o&&`${o} moved`,l&&`${l} unchanged`,a&&`${a} could not be read`];return`${s?"Stopped; what is done is kept: ":"Done: "}${i.filter(Boolean).join(", ")}`}async function ft(t,e){let o=t.body.pipeThrough(new TextDecoderStream).getReader(),a="";for(;;){let{done:l,value:s}=await o.read();if(l)return;a+=s;let i=a.split(`

`);a=i.pop();for(let r of i){let[,u,h]=/^event: (.*)\ndata: (.*)$/s.exec(r)??[];u&&e(u,JSON.parse(h))}}}function mt(){return m(()=>{j();let t=e=>{e.key==="Escape"&&b.value.size&&!c.value.open&&(b.value=new Set)};return addEventListener("keydown",t),()=>removeEventListener("keydown",t)},[]),n`
    <a class="skip" href="#main" onClick=${t=>{t.preventDefault(),(document.querySelector("[data-photo][tabindex='0']")??document.querySelector("main")).focus()}}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${t=>{t.preventDefault(),g(D)}}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${U} />
      <button class="plain facet-button" aria-expanded=${y.value} aria-label="Filters" title="Filters"
        onClick=${()=>y.value=!y.value}><${d} name="filter" /></button>
    </header>
    <div class="body">
      <${nt} />
      <main id="main" tabindex="-1">
        <${gt} />
        <${X} />
        ${it(c.value)?n`<${bt} view=${c.value.view} />`:n`<${wt} /><${kt} /><${et} /><${Ct} />`}
      </main>
    </div>
    <${Y} />
    <${at} />
    ${Q.value&&n`<${Z} />`}
    <p class="toast" role="status" aria-live="polite">${J.value}</p>
  `}var F={"":["Photos","grid"],groups:["Groups","groups"],map:["Map","map"],duplicates:["Duplicates","twins"]},it=({view:t,group:e,terms:o})=>!!(F[t]&&t&&e===null&&!o.length);function gt(){let{view:t}=c.value,[e,o]=$([]);return m(()=>{S("api/folders").then(({folders:a})=>o(a),()=>{})},[]),n`<nav class="views" aria-label="Views">
    ${Object.entries(F).map(([a,[l,s]])=>n`<button key=${a} aria-current=${(it(c.value)?t:"")===a?"page":null}
      onClick=${()=>g(a?{...D,view:a}:{view:"",group:null})}><${d} name=${s} />${l}</button>`)}
    ${e.length>0&&n`<button class="add" onClick=${()=>v.value={kind:"index"}}><${d} name="like" />Add photos</button>`}
  </nav>`}function bt({view:t}){let[e,o]=$(null);return m(()=>{import("./views-LZWLCTNN.js").then(o,()=>f("This view could not be loaded."))},[]),e?n`<h1 class="unseen">${F[t][0]}</h1><${{groups:e.Groups,map:e.Map_,duplicates:e.Duplicates}[t]} />`:null}var vt=({sort:t,right:e,wrong:o})=>(!t||t===V)&&!e.length&&!o.length;function wt(){let{state:t,total:e,fits:o,hits:a,notes:l}=A.value,s=E(c.value),i=I.value,r=i?.good??e,u=t==="loading"&&!i?"Looking\u2026":t==="error"||!i?"Photos":s?o===0?"Nothing fits":o==null?a?.[0]?.rank_score!=null?"By words and by meaning":"The nearest":`${r.toLocaleString("en")} ${r===1?"photo fits":"photos fit"}`:`${(e??0).toLocaleString("en")} photos`;return n`<div class="heading-line" aria-live="polite">
    <h1>${u}</h1>
    ${t==="loading"&&n`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${s&&a?.length>0&&o!=null&&vt(c.value)&&n`<${yt} />`}
    ${s&&n`<button class="switch" role="switch" aria-checked=${c.value.unique} title="Show what is nearly the same once"
      onClick=${()=>g({unique:!c.value.unique},{replace:!0})}><i></i>Fold copies</button>`}
    ${z.value&&n`<button class="plain" onClick=${k}>The library has changed. Show it</button>`}
    <span class="space"></span>
    <${tt} />
    ${l?.filter(h=>!h.startsWith("Nothing fits")).map(h=>n`<p class="note">${h}</p>`)}
  </div>`}function yt(){let{fits:t}=c.value,e=Math.max(0,x.indexOf(t));return n`<label class="relevance" title="How strictly photos have to fit">
    <span>all</span>
    <input type="range" min="0" max=${x.length-1} step="1" value=${e} aria-label="How strictly photos have to fit"
      aria-valuetext=${t??"normally"}
      onChange=${o=>g({fits:x[o.currentTarget.value]},{replace:!0})} />
    <span>sure</span>
  </label>`}function kt(){let{state:t,error:e}=A.value,o=I.value;if(t==="error")return n`<div class="trouble" role="alert"><h2>That did not work</h2><p>${e}</p>
      <div class="buttons"><button class="main" onClick=${k}>Try again</button>${c.value.filters.length>0&&n`<button onClick=${()=>g({filters:[]})}>Remove all filters</button>`}</div></div>`;if(t==="loading"&&!o)return n`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(s=>n`<i style=${{flexGrow:s}}></i>`)}</div>`;if(t!=="ready"||o?.ids.length)return null;let{filters:a,terms:l}=c.value;return a.length?n`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>g({filters:[]})}>Remove all filters</button></div>`:l.length?n`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:n`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function Ct(){let t=[...b.value];if(!t.length)return null;let e=async()=>{let o=[];for(let a=0;a<t.length;a+=500)o.push(...(await S("api/items",{id:t.slice(a,a+500)})).items);await _(o.map(a=>a.path).join(`
`),`${o.length} paths copied`)};return n`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${t.length} selected</b>
    ${E(c.value)&&n`<button onClick=${()=>(N(t,"right"),b.value=new Set)}><${d} name="check" />Right</button>
      <button onClick=${()=>(N(t,"wrong"),b.value=new Set)}><${d} name="close" />Wrong</button>`}
    <button onClick=${()=>g({...D,terms:t.slice(0,40).map(o=>({id:o,weight:1}))})}><${d} name="like" />More like these</button>
    <button onClick=${()=>e().catch(o=>f(o.message))}><${d} name="copy" />Copy paths</button>
    <form method="post" action="api/download"><input type="hidden" name="ids" value=${t.join(",")} /><button><${d} name="download" />Download</button>
      <button formaction="api/sheet" title="A page with all of them, to print or to send"><${d} name="grid" />Contact sheet</button></form>
    <button onClick=${()=>v.value={kind:"tag",ids:t}}><${d} name="tag" />Tag</button>
    <button class="close" aria-label="Clear the selection" onClick=${()=>b.value=new Set}><${d} name="close" /></button>
  </div>`}w(()=>{let{open:t}=c.value;(t||w.viewer)&&(w.viewer??=import("./viewer-ISSYQI4T.js"),w.viewer.then(({show:e})=>e(t),()=>f("The viewer could not be loaded.")))});w(()=>{let{terms:t}=c.value,e=t.filter(o=>o.text).map(o=>`${o.weight<0?"\u2212 ":""}${o.text}`);document.title=e.length?`${e.join(" ")} \xB7 Descry`:"Descry"});P(n`<${mt} />`,document.body);
