import{a as d,b as Q,c as U,d as X,e as Y,f as Z,g as tt,h as et}from"./chunk-MMJ5SQVB.js";import{C as _,D as A,E as L,F as T,G as z,J as k,L as I,N as j,a as P,b as $,c as m,e as G,g as B,h as w,i as n,j as S,k as H,n as V,o as x,p as D,q as c,r as b,s as y,t as J,u as g,v as E,x as N,y as K,z as f}from"./chunk-QJI5ZTLY.js";var ot=7,it={image:"photos",text:"texts"},rt={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",colour:"Colours",type:"Types"};function nt(){if(!y.value)return null;let t=L.value?.facets;return n`<aside class="facets" aria-label="Filters">
    ${t&&Object.entries(rt).map(([e,o])=>{let a=e==="on"?ct(t.on):Object.entries(t[e]??{});return a.length>(e==="colour"?1:0)&&n`<${ut} key=${e} ...${{field:e,title:o,values:a}} />`})}
    ${T.value&&n`<p class="about">${Object.entries(T.value.items).map(([e,o])=>`${o.toLocaleString("en")} ${it[e]??e}`).join(", ")} in the library
      ${T.value.failed>0&&n`<br />${T.value.failed} files could not be read`}</p>`}
  </aside>`}function ct(t={}){let e=c.value.filters.find(({field:i,value:s})=>i==="on"&&/^\d{4}/.test(s)),o=new Map,a=[];for(let[i,s]of Object.entries(t)){let l=i.slice(0,4);o.set(l,(o.get(l)??0)+s),e?.value.startsWith(l)&&a.push([i,s])}return a.length?a:[...o].sort(([i],[s])=>s.localeCompare(i))}function ut({field:t,title:e,values:o}){let[a,i]=$(!1),{filters:s}=c.value,l=(u,h)=>s.some(C=>C.field===t&&C.value===u&&C.negated===h),r=a?o:o.slice(0,ot);return n`<section>
    <h2>${e}</h2>
    <ul>
      ${r.map(([u,h])=>n`<li key=${u}>
        <button aria-pressed=${l(u,!1)} class=${l(u,!0)?"out":""} title=${u} onClick=${()=>K(t,u)}>
          <span>${pt(t,u,o)}</span><small>${h.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${o.length>ot&&n`<button class="plain" onClick=${()=>i(!a)}>${a?"Fewer":`All ${o.length}`}</button>`}
  </section>`}function pt(t,e,o){if(t==="on"&&e.length===7)return new Date(`${e}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(t==="place")return e.split(", ").slice(0,-1).join(", ");if(t==="colour")return e.replaceAll("-"," ");if(t!=="in")return e;let a=e.split("/").at(-1)||e;return o.filter(([s])=>s.split("/").at(-1)===a).length>1?e.split("/").slice(-2).join("/"):a}var v=B(null);function at(){return v.value?v.value.kind==="tag"?n`<${dt} ids=${v.value.ids} />`:n`<${ht} />`:null}function st(){let t=G(null);return m(()=>t.current.showModal(),[]),t}var R=()=>v.value=null;function dt({ids:t}){let e=st(),[o,a]=$(""),i=async l=>{try{await H("api/tags",{tag:o.trim(),ids:t,remove:l}),f(l?`\u201C${o.trim()}\u201D taken off`:`${t.length} tagged \u201C${o.trim()}\u201D`),R(),k()}catch(r){f(r.message)}},s=Object.keys(L.value?.facets.tag??{});return n`<dialog ref=${e} aria-labelledby="tag-title" onClose=${R}>
    <form method="dialog" onSubmit=${l=>{l.preventDefault(),o.trim()&&i(!1)}}>
      <h2 id="tag-title">Tag ${t.length} ${t.length===1?"photo":"photos"}</h2>
      <p class="soft">The tag is kept in the library; no file is changed.</p>
      <input class="field" list="tags" aria-label="Tag" maxlength="100" value=${o} onInput=${l=>a(l.currentTarget.value)} autofocus />
      <datalist id="tags">${s.map(l=>n`<option value=${l} />`)}</datalist>
      <div class="buttons">
        <button type="button" onClick=${()=>e.current.close()}>Cancel</button>
        <button type="button" disabled=${!s.some(l=>l.toLowerCase()===o.trim().toLowerCase())} onClick=${()=>i(!0)}>Take off</button>
        <button class="main" disabled=${!o.trim()}>Tag</button>
      </div>
    </form>
  </dialog>`}function ht(){let t=st(),[e,o]=$(null),[a,i]=$([]),[s,l]=$([]),[r,u]=$(null);m(()=>{S("api/folders",e===null?{}:{path:e}).then(p=>i(p.folders),p=>f(p.message))},[e]);let h=p=>ft(p,(q,M)=>{q==="progress"&&u(O=>({...O,...M})),q==="end"&&(u(O=>({...O,end:M})),j(),k())});m(()=>{fetch("api/index").then(p=>p.ok&&h(p),()=>{})},[]);let C=async()=>{u({total:0,files:0,failed:0,end:null});let p=await fetch("api/index",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({path:e})});return p.ok?h(p):(u(null),f((await p.json()).detail))},W=r&&!r.end;return n`<dialog class="index" ref=${t} aria-labelledby="index-title" onClose=${R}>
    <h2 id="index-title">Add photos</h2>
    ${W?n`<p>${r.total?`${r.files.toLocaleString("en")} of ${r.total.toLocaleString("en")} files`:"Looking through the folder \u2026"}${r.failed?`, ${r.failed} could not be read`:""}</p>
        <progress max=${r.total||1} value=${r.files} aria-label="Indexing"></progress>`:n`${r?.end&&n`<p role="status">${$t(r.end)}</p>`}
        <p class="path">${e??"Folders that this server may index"}</p>
        <ul class="folders">
          ${s.length>0&&n`<li><button onClick=${()=>{o(s.at(-1)),l(s.slice(0,-1))}}>‹ back</button></li>`}
          ${a.map(p=>n`<li key=${p}><button onClick=${()=>{l([...s,e]),o(p)}}><${d} name="folder" />${p.split("/").at(-1)||p}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${()=>t.current.close()}>Close</button>
      ${W?n`<button class="main" onClick=${()=>fetch("api/index",{method:"DELETE"})}>Stop</button>`:n`<button class="main" disabled=${e===null} onClick=${C}>Index this folder</button>`}
    </div>
  </dialog>`}function $t({problem:t,embedded:e,moved:o,failed:a,unchanged:i,interrupted:s}){if(t)return t;let l=[`${e} new`,o&&`${o} moved`,i&&`${i} unchanged`,a&&`${a} could not be read`];return`${s?"Stopped; what is done is kept: ":"Done: "}${l.filter(Boolean).join(", ")}`}async function ft(t,e){let o=t.body.pipeThrough(new TextDecoderStream).getReader(),a="";for(;;){let{done:i,value:s}=await o.read();if(i)return;a+=s;let l=a.split(`

`);a=l.pop();for(let r of l){let[,u,h]=/^event: (.*)\ndata: (.*)$/s.exec(r)??[];u&&e(u,JSON.parse(h))}}}function mt(){return m(()=>{j();let t=e=>{e.key==="Escape"&&b.value.size&&!c.value.open&&(b.value=new Set)};return addEventListener("keydown",t),()=>removeEventListener("keydown",t)},[]),n`
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
        ${lt(c.value)?n`<${bt} view=${c.value.view} />`:n`<${wt} /><${kt} /><${et} /><${Ct} />`}
      </main>
    </div>
    <${Y} />
    <${at} />
    ${Q.value&&n`<${Z} />`}
    <p class="toast" role="status" aria-live="polite">${J.value}</p>
  `}var F={"":["Photos","grid"],groups:["Groups","groups"],map:["Map","map"],duplicates:["Duplicates","twins"]},lt=({view:t,group:e,terms:o})=>!!(F[t]&&t&&e===null&&!o.length);function gt(){let{view:t}=c.value,[e,o]=$([]);return m(()=>{S("api/folders").then(({folders:a})=>o(a),()=>{})},[]),n`<nav class="views" aria-label="Views">
    ${Object.entries(F).map(([a,[i,s]])=>n`<button key=${a} aria-current=${(lt(c.value)?t:"")===a?"page":null}
      onClick=${()=>g(a?{...D,view:a}:{view:"",group:null})}><${d} name=${s} />${i}</button>`)}
    ${e.length>0&&n`<button class="add" onClick=${()=>v.value={kind:"index"}}><${d} name="like" />Add photos</button>`}
  </nav>`}function bt({view:t}){let[e,o]=$(null);return m(()=>{import("./views-LZWLCTNN.js").then(o,()=>f("This view could not be loaded."))},[]),e?n`<h1 class="unseen">${F[t][0]}</h1><${{groups:e.Groups,map:e.Map_,duplicates:e.Duplicates}[t]} />`:null}var vt=({sort:t,right:e,wrong:o})=>(!t||t===V)&&!e.length&&!o.length;function wt(){let{state:t,total:e,fits:o,hits:a,notes:i}=A.value,s=E(c.value),l=I.value,r=l?.good??e,u=t==="loading"&&!l?"Looking\u2026":t==="error"||!l?"Photos":s?o===0?"Nothing fits":o==null?a?.[0]?.rank_score!=null?"By words and by meaning":"The nearest":`${r.toLocaleString("en")} ${r===1?"photo fits":"photos fit"}`:`${(e??0).toLocaleString("en")} photos`;return n`<div class="heading-line" aria-live="polite">
    <h1>${u}</h1>
    ${t==="loading"&&n`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${s&&a?.length>0&&o!=null&&vt(c.value)&&n`<${yt} />`}
    ${s&&n`<button class="switch" role="switch" aria-checked=${c.value.unique} title="Show what is nearly the same once"
      onClick=${()=>g({unique:!c.value.unique},{replace:!0})}><i></i>Fold copies</button>`}
    ${z.value&&n`<button class="plain" onClick=${k}>The library has changed. Show it</button>`}
    <span class="space"></span>
    <${tt} />
    ${i?.filter(h=>!h.startsWith("Nothing fits")).map(h=>n`<p class="note">${h}</p>`)}
  </div>`}function yt(){let{fits:t}=c.value,e=Math.max(0,x.indexOf(t));return n`<label class="relevance" title="How strictly photos have to fit">
    <span>all</span>
    <input type="range" min="0" max=${x.length-1} step="1" value=${e} aria-label="How strictly photos have to fit"
      aria-valuetext=${t??"normally"}
      onChange=${o=>g({fits:x[o.currentTarget.value]},{replace:!0})} />
    <span>sure</span>
  </label>`}function kt(){let{state:t,error:e}=A.value,o=I.value;if(t==="error")return n`<div class="trouble" role="alert"><h2>That did not work</h2><p>${e}</p>
      <div class="buttons"><button class="main" onClick=${k}>Try again</button>${c.value.filters.length>0&&n`<button onClick=${()=>g({filters:[]})}>Remove all filters</button>`}</div></div>`;if(t==="loading"&&!o)return n`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(s=>n`<i style=${{flexGrow:s}}></i>`)}</div>`;if(t!=="ready"||o?.ids.length)return null;let{filters:a,terms:i}=c.value;return a.length?n`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>g({filters:[]})}>Remove all filters</button></div>`:i.length?n`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:n`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function Ct(){let t=[...b.value];if(!t.length)return null;let e=async()=>{let o=[];for(let a=0;a<t.length;a+=500)o.push(...(await S("api/items",{id:t.slice(a,a+500)})).items);await _(o.map(a=>a.path).join(`
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
  </div>`}w(()=>{let{open:t}=c.value;(t||w.viewer)&&(w.viewer??=import("./viewer-VOLSAFXU.js"),w.viewer.then(({show:e})=>e(t),()=>f("The viewer could not be loaded.")))});w(()=>{let{terms:t}=c.value,e=t.filter(o=>o.text).map(o=>`${o.weight<0?"\u2212 ":""}${o.text}`);document.title=e.length?`${e.join(" ")} \xB7 Descry`:"Descry"});P(n`<${mt} />`,document.body);
