import{a as $,b as z,c as K,d as Q,e as _,f as U,g as X,h as Y}from"./chunk-G3NQU656.js";import{A as J,B as D,C as L,D as S,G as T,I as A,K as j,a as P,b as h,c as m,e as G,g as H,h as k,i as a,j as C,k as q,n as x,o as p,p as g,q as w,r as V,s as b,t as N,v as E,w as B,x as f}from"./chunk-SGVCNFDC.js";var Z=7,at={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",type:"Types"};function tt(){if(!w.value)return null;let t=L.value?.facets;return a`<aside class="facets" aria-label="Filters">
    ${t&&Object.entries(at).map(([o,e])=>{let n=o==="on"?st(t.on):Object.entries(t[o]??{});return n.length>0&&a`<${lt} key=${o} ...${{field:o,title:e,values:n}} />`})}
    ${S.value&&a`<p class="about">${Object.entries(S.value.items).map(([o,e])=>`${e.toLocaleString("en")} ${o} items`).join(", ")}
      ${S.value.failed>0&&a`<br />${S.value.failed} files could not be read`}</p>`}
  </aside>`}function st(t={}){let o=p.value.filters.find(({field:s,value:l})=>s==="on"&&/^\d{4}/.test(l)),e=new Map,n=[];for(let[s,l]of Object.entries(t)){let i=s.slice(0,4);e.set(i,(e.get(i)??0)+l),o?.value.startsWith(i)&&n.push([s,l])}return n.length?n:[...e].sort(([s],[l])=>l.localeCompare(s))}function lt({field:t,title:o,values:e}){let[n,s]=h(!1),{filters:l}=p.value,i=(c,d)=>l.some(y=>y.field===t&&y.value===c&&y.negated===d),r=n?e:e.slice(0,Z);return a`<section>
    <h2>${o}</h2>
    <ul>
      ${r.map(([c,d])=>a`<li key=${c}>
        <button aria-pressed=${i(c,!1)} class=${i(c,!0)?"out":""} title=${c} onClick=${()=>B(t,c)}>
          <span>${it(t,c,e)}</span><small>${d.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${e.length>Z&&a`<button class="plain" onClick=${()=>s(!n)}>${n?"Fewer":`All ${e.length}`}</button>`}
  </section>`}function it(t,o,e){if(t==="on"&&o.length===7)return new Date(`${o}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(t!=="in")return o;let n=o.split("/").at(-1)||o;return e.filter(([l])=>l.split("/").at(-1)===n).length>1?o.split("/").slice(-2).join("/"):n}var v=H(null);function et(){return v.value?v.value.kind==="tag"?a`<${rt} ids=${v.value.ids} />`:a`<${ct} />`:null}function ot(){let t=G(null);return m(()=>t.current.showModal(),[]),t}var I=()=>v.value=null;function rt({ids:t}){let o=ot(),[e,n]=h(""),s=async i=>{try{await q("api/tags",{tag:e.trim(),ids:t,remove:i}),f(i?`\u201C${e.trim()}\u201D taken off`:`${t.length} tagged \u201C${e.trim()}\u201D`),I(),T()}catch(r){f(r.message)}},l=Object.keys(L.value?.facets.tag??{});return a`<dialog ref=${o} aria-labelledby="tag-title" onClose=${I}>
    <form method="dialog" onSubmit=${i=>{i.preventDefault(),e.trim()&&s(!1)}}>
      <h2 id="tag-title">Tag ${t.length} ${t.length===1?"photo":"photos"}</h2>
      <p class="soft">The tag is kept in the library; no file is changed.</p>
      <input class="field" list="tags" aria-label="Tag" maxlength="100" value=${e} onInput=${i=>n(i.currentTarget.value)} autofocus />
      <datalist id="tags">${l.map(i=>a`<option value=${i} />`)}</datalist>
      <div class="buttons">
        <button type="button" onClick=${()=>o.current.close()}>Cancel</button>
        <button type="button" disabled=${!l.some(i=>i.toLowerCase()===e.trim().toLowerCase())} onClick=${()=>s(!0)}>Take off</button>
        <button class="main" disabled=${!e.trim()}>Tag</button>
      </div>
    </form>
  </dialog>`}function ct(){let t=ot(),[o,e]=h(null),[n,s]=h([]),[l,i]=h([]),[r,c]=h(null);m(()=>{C("api/folders",o===null?{}:{path:o}).then(u=>s(u.folders),u=>f(u.message))},[o]);let d=u=>pt(u,(R,W)=>{R==="progress"&&c(O=>({...O,...W})),R==="end"&&(c(O=>({...O,end:W})),j(),T())});m(()=>{fetch("api/index").then(u=>u.ok&&d(u),()=>{})},[]);let y=async()=>{c({total:0,files:0,failed:0,end:null});let u=await fetch("api/index",{method:"POST",headers:{"Content-Type":"application/json"},body:JSON.stringify({path:o})});return u.ok?d(u):(c(null),f((await u.json()).detail))},M=r&&!r.end;return a`<dialog class="index" ref=${t} aria-labelledby="index-title" onClose=${I}>
    <h2 id="index-title">Add photos</h2>
    ${M?a`<p>${r.total?`${r.files.toLocaleString("en")} of ${r.total.toLocaleString("en")} files`:"Looking through the folder \u2026"}${r.failed?`, ${r.failed} could not be read`:""}</p>
        <progress max=${r.total||1} value=${r.files} aria-label="Indexing"></progress>`:a`${r?.end&&a`<p role="status">${ut(r.end)}</p>`}
        <p class="path">${o??"Folders that this server may index"}</p>
        <ul class="folders">
          ${l.length>0&&a`<li><button onClick=${()=>{e(l.at(-1)),i(l.slice(0,-1))}}>‹ back</button></li>`}
          ${n.map(u=>a`<li key=${u}><button onClick=${()=>{i([...l,o]),e(u)}}>${u.split("/").at(-1)||u}</button></li>`)}
        </ul>`}
    <div class="buttons">
      <button onClick=${()=>t.current.close()}>Close</button>
      ${M?a`<button class="main" onClick=${()=>fetch("api/index",{method:"DELETE"})}>Stop</button>`:a`<button class="main" disabled=${o===null} onClick=${y}>Index this folder</button>`}
    </div>
  </dialog>`}function ut({problem:t,embedded:o,moved:e,failed:n,unchanged:s,interrupted:l}){if(t)return t;let i=[`${o} new`,e&&`${e} moved`,s&&`${s} unchanged`,n&&`${n} could not be read`];return`${l?"Stopped; what is done is kept: ":"Done: "}${i.filter(Boolean).join(", ")}`}async function pt(t,o){let e=t.body.pipeThrough(new TextDecoderStream).getReader(),n="";for(;;){let{done:s,value:l}=await e.read();if(s)return;n+=l;let i=n.split(`

`);n=i.pop();for(let r of i){let[,c,d]=/^event: (.*)\ndata: (.*)$/s.exec(r)??[];c&&o(c,JSON.parse(d))}}}function dt(){return m(()=>{j();let t=o=>{o.key==="Escape"&&g.value.size&&!p.value.open&&(g.value=new Set)};return addEventListener("keydown",t),()=>removeEventListener("keydown",t)},[]),a`
    <a class="skip" href="#main" onClick=${t=>{t.preventDefault(),(document.querySelector("[data-photo][tabindex='0']")??document.querySelector("main")).focus()}}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${t=>{t.preventDefault(),b(x)}}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${K} />
      <button class="plain facet-button" aria-expanded=${w.value} aria-label="Filters" title="Filters"
        onClick=${()=>w.value=!w.value}><${$} name="filter" /></button>
    </header>
    <div class="body">
      <${tt} />
      <main id="main" tabindex="-1">
        <${ht} />
        <${Q} />
        ${nt(p.value)?a`<${$t} view=${p.value.view} />`:a`<${ft} /><${gt} /><${Y} /><${bt} />`}
      </main>
    </div>
    <${_} />
    <${et} />
    ${z.value&&a`<${U} />`}
    <p class="toast" role="status" aria-live="polite">${V.value}</p>
  `}var F={"":["Photos","grid"],groups:["Groups","groups"],map:["Map","map"],duplicates:["Duplicates","twins"]},nt=({view:t,group:o,terms:e})=>!!(F[t]&&t&&o===null&&!e.length);function ht(){let{view:t}=p.value,[o,e]=h([]);return m(()=>{C("api/folders").then(({folders:n})=>e(n),()=>{})},[]),a`<nav class="views" aria-label="Views">
    ${Object.entries(F).map(([n,[s,l]])=>a`<button key=${n} aria-current=${(nt(p.value)?t:"")===n?"page":null}
      onClick=${()=>b(n?{...x,view:n}:{view:"",group:null})}><${$} name=${l} />${s}</button>`)}
    ${o.length>0&&a`<button class="add" onClick=${()=>v.value={kind:"index"}}><${$} name="like" />Add photos</button>`}
  </nav>`}function $t({view:t}){let[o,e]=h(null);return m(()=>{import("./views-BEQYYI7E.js").then(e,()=>f("This view could not be loaded."))},[]),o?a`<h1 class="unseen">${F[t][0]}</h1><${{groups:o.Groups,map:o.Map_,duplicates:o.Duplicates}[t]} />`:null}function ft(){let{state:t,total:o,fits:e,hits:n,notes:s}=D.value,l=N(p.value),i=A.value,r=i?.good??o,c=t==="loading"&&!i?"Looking\u2026":t==="error"||!i?"Photos":l?e===0?"Nothing fits":e==null?"The nearest":`${r.toLocaleString("en")} ${r===1?"photo fits":"photos fit"}`:`${(o??0).toLocaleString("en")} photos`;return a`<div class="heading-line" aria-live="polite">
    <h1>${c}</h1>
    ${t==="loading"&&a`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${l&&e!==null&&e!==void 0&&n?.length>0&&a`<${mt} />`}
    <span class="space"></span>
    <${X} />
    ${s?.filter(d=>!d.startsWith("Nothing fits")).map(d=>a`<p class="note">${d}</p>`)}
  </div>`}function mt(){let{fits:t}=p.value,o=D.value.hits.map(s=>s.probability).filter(s=>s!=null),e=o.length?Math.min(...o):.5,n=t??e;return a`<label class="relevance" title="How sure a photo has to be to count as fitting">
    <span>all</span>
    <input type="range" min="0" max="0.95" step="0.01" value=${n} aria-label="How surely photos have to fit"
      aria-valuetext=${t===null?"as calibrated":`${Math.round(n*100)} percent`}
      onInput=${s=>b({fits:Number(s.currentTarget.value)},{replace:!0})} />
    <span>sure</span>
    ${t!==null&&a`<button class="plain" onClick=${()=>b({fits:null},{replace:!0})}>reset</button>`}
  </label>`}function gt(){let{state:t,error:o}=D.value,e=A.value;if(t==="error")return a`<div class="trouble" role="alert"><h2>That did not work</h2><p>${o}</p><button class="main" onClick=${T}>Try again</button></div>`;if(t==="loading"&&!e)return a`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(l=>a`<i style=${{flexGrow:l}}></i>`)}</div>`;if(t!=="ready"||e?.ids.length)return null;let{filters:n,terms:s}=p.value;return n.length?a`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>b({filters:[]})}>Remove all filters</button></div>`:s.length?a`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:a`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function bt(){let t=[...g.value];if(!t.length)return null;let o=async()=>{let e=[];for(let n=0;n<t.length;n+=500)e.push(...(await C("api/items",{id:t.slice(n,n+500)})).items);await J(e.map(n=>n.path).join(`
`),`${e.length} paths copied`)};return a`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${t.length} selected</b>
    ${N(p.value)&&a`<button onClick=${()=>(E(t,"right"),g.value=new Set)}><${$} name="check" />Right</button>
      <button onClick=${()=>(E(t,"wrong"),g.value=new Set)}><${$} name="close" />Wrong</button>`}
    <button onClick=${()=>b({...x,terms:t.slice(0,40).map(e=>({id:e,weight:1}))})}><${$} name="like" />More like these</button>
    <button onClick=${()=>o().catch(e=>f(e.message))}><${$} name="copy" />Copy paths</button>
    <form method="post" action="api/download"><input type="hidden" name="ids" value=${t.join(",")} /><button><${$} name="download" />Download</button></form>
    <button onClick=${()=>v.value={kind:"tag",ids:t}}><${$} name="tag" />Tag</button>
    <button class="close" aria-label="Clear the selection" onClick=${()=>g.value=new Set}><${$} name="close" /></button>
  </div>`}k(()=>{let{open:t}=p.value;(t||k.viewer)&&(k.viewer??=import("./viewer-JVMAD24M.js"),k.viewer.then(({show:o})=>o(t),()=>f("The viewer could not be loaded.")))});k(()=>{let{terms:t}=p.value,o=t.filter(e=>e.text).map(e=>`${e.weight<0?"\u2212 ":""}${e.text}`);document.title=o.length?`${o.join(" ")} \xB7 Descry`:"Descry"});P(a`<${dt} />`,document.body);
