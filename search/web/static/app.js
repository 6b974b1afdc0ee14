import{a as p,b as U,c as X,d as Y,e as Z,f as tt,g as et,h as ot}from"./chunk-PTRVVM3R.js";import{C as _,D as R,E as L,F as v,G as z,J as C,L as Q,M as A,O,a as P,b as $,c as g,e as B,g as G,h as w,i as n,j as T,k as H,n as V,o as x,p as D,q as r,r as b,s as y,t as J,u as f,v as E,x as N,y as K,z as m}from"./chunk-3E4WSXG6.js";var nt=7,rt={image:"photos",text:"texts"},ct={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",colour:"Colours",type:"Types"};function at(){if(!y.value)return null;let t=L.value?.facets;return n`<aside class="facets" aria-label="Filters">
    ${t&&Object.entries(ct).map(([e,o])=>{let a=e==="on"?ut(t.on):Object.entries(t[e]??{});return a.length>(e==="colour"?1:0)&&n`<${dt} key=${e} ...${{field:e,title:o,values:a}} />`})}
    ${v.value&&n`<p class="about">${Object.entries(v.value.items).map(([e,o])=>`${o.toLocaleString("en")} ${rt[e]??e}`).join(", ")} in the library
      ${v.value.failed>0&&n`<br />${v.value.failed} files could not be read`}</p>`}
  </aside>`}function ut(t={}){let e=r.value.filters.find(({field:l,value:s})=>l==="on"&&/^\d{4}/.test(s)),o=new Map,a=[];for(let[l,s]of Object.entries(t)){let i=l.slice(0,4);o.set(i,(o.get(i)??0)+s),e?.value.startsWith(i)&&a.push([l,s])}return a.length?a:[...o].sort(([l],[s])=>s.localeCompare(l))}function dt({field:t,title:e,values:o}){let[a,l]=$(!1),{filters:s}=r.value,i=(u,h)=>s.some(S=>S.field===t&&S.value===u&&S.negated===h),c=a?o:o.slice(0,nt);return n`<section>
    <h2>${e}</h2>
    <ul>
      ${c.map(([u,h])=>n`<li key=${u}>
        <button aria-pressed=${i(u,!1)} class=${i(u,!0)?"out":""} title=${u} onClick=${()=>K(t,u)}>
          <span>${pt(t,u,o)}</span><small>${h.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${o.length>nt&&n`<button class="plain" onClick=${()=>l(!a)}>${a?"Fewer":`All ${o.length}`}</button>`}
  </section>`}function pt(t,e,o){if(t==="on"&&e.length===7)return new Date(`${e}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(t==="place")return e.split(", ").slice(0,-1).join(", ");if(t==="colour")return e.replaceAll("-"," ");if(t!=="in")return e;let a=e.split("/").at(-1)||e;return o.filter(([s])=>s.split("/").at(-1)===a).length>1?e.split("/").slice(-2).join("/"):a}var k=G(null);function st(){return k.value?k.value.kind==="tag"?n`<${ht} ids=${k.value.ids} />`:n`<${$t} />`:null}function it(){let t=B(null);return g(()=>t.current.showModal(),[]),t}var I=()=>k.value=null;function ht({ids:t}){let e=it(),[o,a]=$(""),l=async i=>{try{await H("api/tags",{tag:o.trim(),ids:t,remove:i}),m(i?`\u201C${o.trim()}\u201D taken off`:`${t.length} tagged \u201C${o.trim()}\u201D`),I(),C()}catch(c){m(c.message)}},s=Object.keys(L.value?.facets.tag??{});return n`<dialog ref=${e} aria-labelledby="tag-title" onClose=${I}>
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
  </dialog>`}function $t(){let t=it(),[e,o]=$(null),[a,l]=$([]),[s,i]=$([]),[c,u]=$(null);g(()=>{T("api/folders",e===null?{}:{path:e}).then(d=>l(d.folders),d=>m(d.message))},[e]);let h=d=>mt(d,(q,M)=>{q==="progress"&&u(j=>({...j,...M})),q==="end"&&(u(j=>({...j,end:M})),O(),C())});g(()=>{fetch("api/index").then(d=>d.ok&&h(d),()=>{})},[]);let S=async()=>{u({total:0,files:0,failed:0,end:null});let d=await fetch("api/index",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({path:e})});return d.ok?h(d):(u(null),m((await d.json()).detail))},W=c&&!c.end;return n`<dialog class="index" ref=${t} aria-labelledby="index-title" onClose=${I}>
    <h2 id="index-title">Add photos</h2>
    ${W?n`<p>${c.total?`${c.files.toLocaleString("en")} of ${c.total.toLocaleString("en")} files`:"Looking through the folder \u2026"}${c.failed?`, ${c.failed} could not be read`:""}</p>
        <progress max=${c.total||1} value=${c.files} aria-label="Indexing"></progress>`:n`${c?.end&&n`<p role="status">${ft(c.end)}</p>`}
        <p class="path">${e??"Folders that this server may index"}</p>
        <ul class="folders">
          ${s.length>0&&n`<li><button onClick=${()=>{o(s.at(-1)),i(s.slice(0,-1))}}>‹ back</button></li>`}
          ${a.map(d=>n`<li key=${d}><button onClick=${()=>{i([...s,e]),o(d)}}><${p} name="folder" />${d.split("/").at(-1)||d}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${()=>t.current.close()}>Close</button>
      ${W?n`<button class="main" onClick=${()=>fetch("api/index",{method:"DELETE"})}>Stop</button>`:n`<button class="main" disabled=${e===null} onClick=${S}>Index this folder</button>`}
    </div>
  </dialog>`}function ft({problem:t,embedded:e,moved:o,failed:a,unchanged:l,interrupted:s}){if(t)return t;let i=[`${e} new`,o&&`${o} moved`,l&&`${l} unchanged`,a&&`${a} could not be read`];return`${s?"Stopped; what is done is kept: ":"Done: "}${i.filter(Boolean).join(", ")}`}async function mt(t,e){let o=t.body.pipeThrough(new TextDecoderStream).getReader(),a="";for(;;){let{done:l,value:s}=await o.read();if(l)return;a+=s;let i=a.split(`

`);a=i.pop();for(let c of i){let[,u,h]=/^event: (.*)\ndata: (.*)$/s.exec(c)??[];u&&e(u,JSON.parse(h))}}}function gt(){return g(()=>{O();let t=e=>{e.key==="Escape"&&b.value.size&&!r.value.open&&(b.value=new Set)};return addEventListener("keydown",t),()=>removeEventListener("keydown",t)},[]),n`
    <a class="skip" href="#main" onClick=${t=>{t.preventDefault(),(document.querySelector("[data-photo][tabindex='0']")??document.querySelector("main")).focus()}}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${t=>{t.preventDefault(),f(D)}}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${X} />
      <button class="plain facet-button" aria-expanded=${y.value} aria-label="Filters" title="Filters"
        onClick=${()=>y.value=!y.value}><${p} name="filter" /></button>
    </header>
    <div class="body">
      <${at} />
      <main id="main" tabindex="-1">
        <${bt} />
        <${Y} />
        ${lt(r.value)?n`<${vt} view=${r.value.view} />`:n`<${wt} /><${Ct} /><${ot} /><${St} />`}
      </main>
    </div>
    <${Z} />
    <${st} />
    ${U.value&&n`<${tt} />`}
    <p class="toast" role="status" aria-live="polite">${J.value}</p>
  `}var F={"":["Photos","grid"],groups:["Groups","groups"],map:["Map","map"],duplicates:["Duplicates","twins"]},lt=({view:t,group:e,terms:o})=>!!(F[t]&&t&&e===null&&!o.length);function bt(){let{view:t}=r.value,[e,o]=$([]);return g(()=>{T("api/folders").then(({folders:a})=>o(a),()=>{})},[]),n`<nav class="views" aria-label="Views">
    ${Object.entries(F).map(([a,[l,s]])=>n`<button key=${a} aria-current=${(lt(r.value)?t:"")===a?"page":null}
      onClick=${()=>f(a?{...D,view:a}:{view:"",group:null})}><${p} name=${s} />${l}</button>`)}
    ${e.length>0&&n`<button class="add" onClick=${()=>k.value={kind:"index"}}><${p} name="like" />Add photos</button>`}
  </nav>`}function vt({view:t}){let[e,o]=$(null);return g(()=>{import("./views-JREETRBV.js").then(o,()=>m("This view could not be loaded."))},[]),e?n`<h1 class="unseen">${F[t][0]}</h1><${{groups:e.Groups,map:e.Map_,duplicates:e.Duplicates}[t]} />`:null}var kt=({sort:t,right:e,wrong:o})=>(!t||t===V)&&!e.length&&!o.length;function wt(){let{state:t,total:e,fits:o,hits:a,notes:l}=R.value,s=E(r.value),i=A.value,c=i?.good??e,u=t==="loading"&&!i?"Looking\u2026":t==="error"||!i?"Photos":s?o===0?"Nothing fits":o==null?a?.[0]?.rank_score!=null?"By words and by meaning":"The nearest":`${c.toLocaleString("en")} ${c===1?"photo fits":"photos fit"}`:`${(e??0).toLocaleString("en")} photos`;return n`<div class="heading-line" aria-live="polite">
    <h1>${u}</h1>
    ${t==="loading"&&n`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${s&&a?.length>0&&o!=null&&kt(r.value)&&n`<${yt} />`}
    ${s&&n`<button class="switch" role="switch" aria-checked=${r.value.unique} title="Show what is nearly the same once"
      onClick=${()=>f({unique:!r.value.unique},{replace:!0})}><i></i>Fold copies</button>`}
    ${s&&Q(r.value)&&n`<button class="switch" role="switch" aria-checked=${r.value.rerank}
      title=${`Order the first hundred by what ${v.value.reranker} says of each photo together with the words; it may take minutes`}
      onClick=${()=>f({rerank:!r.value.rerank},{replace:!0})}><i></i>Re-rank</button>`}
    ${z.value&&n`<button class="plain" onClick=${C}>The library has changed. Show it</button>`}
    <span class="space"></span>
    <${et} />
    ${l?.filter(h=>!h.startsWith("Nothing fits")).map(h=>n`<p class="note">${h}</p>`)}
  </div>`}function yt(){let{fits:t}=r.value,e=Math.max(0,x.indexOf(t));return n`<label class="relevance" title="How strictly photos have to fit">
    <span>all</span>
    <input type="range" min="0" max=${x.length-1} step="1" value=${e} aria-label="How strictly photos have to fit"
      aria-valuetext=${t??"normally"}
      onChange=${o=>f({fits:x[o.currentTarget.value]},{replace:!0})} />
    <span>sure</span>
  </label>`}function Ct(){let{state:t,error:e}=R.value,o=A.value;if(t==="error")return n`<div class="trouble" role="alert"><h2>That did not work</h2><p>${e}</p>
      <div class="buttons"><button class="main" onClick=${C}>Try again</button>${r.value.filters.length>0&&n`<button onClick=${()=>f({filters:[]})}>Remove all filters</button>`}</div></div>`;if(t==="loading"&&!o)return n`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(s=>n`<i style=${{flexGrow:s}}></i>`)}</div>`;if(t!=="ready"||o?.ids.length)return null;let{filters:a,terms:l}=r.value;return a.length?n`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>f({filters:[]})}>Remove all filters</button></div>`:l.length?n`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:n`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function St(){let t=[...b.value];if(!t.length)return null;let e=async()=>{let o=[];for(let a=0;a<t.length;a+=500)o.push(...(await T("api/items",{id:t.slice(a,a+500)})).items);await _(o.map(a=>a.path).join(`
`),`${o.length} paths copied`)};return n`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${t.length} selected</b>
    ${E(r.value)&&n`<button onClick=${()=>(N(t,"right"),b.value=new Set)}><${p} name="check" />Right</button>
      <button onClick=${()=>(N(t,"wrong"),b.value=new Set)}><${p} name="close" />Wrong</button>`}
    <button onClick=${()=>f({...D,terms:t.slice(0,40).map(o=>({id:o,weight:1}))})}><${p} name="like" />More like these</button>
    <button onClick=${()=>e().catch(o=>m(o.message))}><${p} name="copy" />Copy paths</button>
    <form method="post" action="api/download"><input type="hidden" name="ids" value=${t.join(",")} /><button><${p} name="download" />Download</button>
      <button formaction="api/sheet" title="A page with all of them, to print or to send"><${p} name="grid" />Contact sheet</button></form>
    <button onClick=${()=>k.value={kind:"tag",ids:t}}><${p} name="tag" />Tag</button>
    <button class="close" aria-label="Clear the selection" onClick=${()=>b.value=new Set}><${p} name="close" /></button>
  </div>`}w(()=>{let{open:t}=r.value;(t||w.viewer)&&(w.viewer??=import("./viewer-4ISM4RPV.js"),w.viewer.then(({show:e})=>e(t),()=>m("The viewer could not be loaded.")))});w(()=>{let{terms:t}=r.value,e=t.filter(o=>o.text).map(o=>`${o.weight<0?"\u2212 ":""}${o.text}`);document.title=e.length?`${e.join(" ")} \xB7 Descry`:"Descry"});P(n`<${gt} />`,document.body);
