import{E as b,F as O,G as W,H as E,I as H,J as M,K as P,L as q,a as k,b as C,c as S,e as p,f as s,g as T,j as c,k as m,l as h,m as L,n as d,o as x,p as D,q as y,r as j,s as g,t as A,u as $,x as N,y as w,z as F}from"./chunk.js";var I=7,G={on:"When",in:"Folders",tag:"Tags",place:"Places",camera:"Cameras",type:"Types"};function R(){if(!h.value)return null;let e=A.value?.facets;return s`<aside class="facets" aria-label="Filters">
    ${e&&Object.entries(G).map(([o,t])=>{let n=o==="on"?z(e.on):Object.entries(e[o]??{});return n.length>0&&s`<${B} key=${o} ...${{field:o,title:t,values:n}} />`})}
    ${$.value&&s`<p class="about">${Object.entries($.value.items).map(([o,t])=>`${t.toLocaleString("en")} ${o} items`).join(", ")}
      ${$.value.failed>0&&s`<br />${$.value.failed} files could not be read`}</p>`}
  </aside>`}function z(e={}){let o=c.value.filters.find(({field:a,value:i})=>a==="on"&&/^\d{4}/.test(i)),t=new Map,n=[];for(let[a,i]of Object.entries(e)){let r=a.slice(0,4);t.set(r,(t.get(r)??0)+i),o?.value.startsWith(r)&&n.push([a,i])}return n.length?n:[...t].sort(([a],[i])=>i.localeCompare(a))}function B({field:e,title:o,values:t}){let[n,a]=C(!1),{filters:i}=c.value,r=(l,u)=>i.some(v=>v.field===e&&v.value===l&&v.negated===u),f=n?t:t.slice(0,I);return s`<section>
    <h2>${o}</h2>
    <ul>
      ${f.map(([l,u])=>s`<li key=${l}>
        <button aria-pressed=${r(l,!1)} class=${r(l,!0)?"out":""} title=${l} onClick=${()=>D(e,l)}>
          <span>${K(e,l,t)}</span><small>${u.toLocaleString("en")}</small>
        </button>
      </li>`)}
    </ul>
    ${t.length>I&&s`<button class="plain" onClick=${()=>a(!n)}>${n?"Fewer":`All ${t.length}`}</button>`}
  </section>`}function K(e,o,t){if(e==="on"&&o.length===7)return new Date(`${o}-15`).toLocaleDateString("en",{month:"long",year:"numeric"});if(e!=="in")return o;let n=o.split("/").at(-1)||o;return t.filter(([i])=>i.split("/").at(-1)===n).length>1?o.split("/").slice(-2).join("/"):n}function Q(){return S(()=>{F();let e=o=>{o.key==="Escape"&&m.value.size&&!c.value.open&&(m.value=new Set)};return addEventListener("keydown",e),()=>removeEventListener("keydown",e)},[]),s`
    <a class="skip" href="#grid" onClick=${e=>{e.preventDefault(),document.querySelector("[data-photo][tabindex='0']")?.focus()}}>To the photos</a>
    <header>
      <a class="brand" href="./" aria-label="Descry: the whole library" onClick=${e=>{e.preventDefault(),d({terms:[],filters:[],sort:"",view:"",fits:null})}}><img src="icon.svg" alt="" width="28" height="28" /><b>Descry</b></a>
      <${W} />
      <button class="plain facet-button" aria-expanded=${h.value} aria-label="Filters" title="Filters"
        onClick=${()=>h.value=!h.value}><${b} name="filter" /></button>
    </header>
    <div class="body">
      <${R} />
      <main>
        <${E} />
        <${J} />
        <${V} />
        <${q} />
        <${X} />
      </main>
    </div>
    <${H} />
    ${O.value&&s`<${M} />`}
    <p class="toast" role="status" aria-live="polite">${L.value}</p>
  `}function J(){let{state:e,total:o,fits:t,hits:n,notes:a}=g.value,i=x(c.value),r=w.value,f=r?.good??o,l=e==="loading"&&!r?"Looking\u2026":e==="error"||!r?"Photos":i?t===0?"Nothing fits":t==null?`${f.toLocaleString("en")} photos`:`${f.toLocaleString("en")} ${f===1?"photo fits":"photos fit"}`:`${(o??0).toLocaleString("en")} photos`;return s`<div class="heading-line" aria-live="polite">
    <h1>${l}</h1>
    ${e==="loading"&&s`<span class="busy" role="progressbar" aria-label="Loading"></span>`}
    ${i&&t!==null&&t!==void 0&&n?.length>0&&s`<${U} />`}
    <span class="space"></span>
    <${P} />
    ${a?.filter(u=>!u.startsWith("Nothing fits")).map(u=>s`<p class="note">${u}</p>`)}
  </div>`}function U(){let{fits:e}=c.value,o=g.value.hits.map(a=>a.probability).filter(a=>a!=null),t=o.length?Math.min(...o):.5,n=e??t;return s`<label class="relevance" title="How sure a photo has to be to count as fitting">
    <span>all</span>
    <input type="range" min="0" max="0.95" step="0.01" value=${n} aria-label="How surely photos have to fit"
      aria-valuetext=${e===null?"as calibrated":`${Math.round(n*100)} percent`}
      onInput=${a=>d({fits:Number(a.currentTarget.value)},{replace:!0})} />
    <span>sure</span>
    ${e!==null&&s`<button class="plain" onClick=${()=>d({fits:null},{replace:!0})}>reset</button>`}
  </label>`}function V(){let{state:e,error:o}=g.value,t=w.value;if(e==="error")return s`<div class="trouble" role="alert"><h2>That did not work</h2><p>${o}</p><button class="main" onClick=${N}>Try again</button></div>`;if(e==="loading"&&!t)return s`<div class="skeleton" aria-hidden="true">${[3,2,4,3,2,3,4,2,3,3,2,4].map(i=>s`<i style=${{flexGrow:i}}></i>`)}</div>`;if(e!=="ready"||t?.ids.length)return null;let{filters:n,terms:a}=c.value;return n.length?s`<div class="trouble"><h2>No photo passes these filters</h2><p>Remove one of them to see more.</p><button class="main" onClick=${()=>d({filters:[]})}>Remove all filters</button></div>`:a.length?s`<div class="trouble"><h2>Nothing fits</h2><p>Say it in other words, or look by relevance to see the nearest.</p></div>`:s`<div class="trouble"><h2>No photos yet</h2><p>Add a folder on the command line, and they appear here while it works:</p><pre>descry index ~/Photos</pre></div>`}function X(){let e=[...m.value];if(!e.length)return null;let o=async()=>{let t=[];for(let n=0;n<e.length;n+=500)t.push(...(await T("api/items",{id:e.slice(n,n+500)})).items);await j(t.map(n=>n.path).join(`
`),`${t.length} paths copied`)};return s`<div class="selection" role="toolbar" aria-label="Selected photos">
    <b>${e.length} selected</b>
    <button onClick=${()=>d({terms:e.slice(0,40).map(t=>({id:t,weight:1})),sort:"",fits:null})}><${b} name="like" />More like these</button>
    <button onClick=${()=>o().catch(t=>y(t.message))}><${b} name="copy" />Copy paths</button>
    <button class="close" aria-label="Clear the selection" onClick=${()=>m.value=new Set}><${b} name="close" /></button>
  </div>`}p(()=>{let{open:e}=c.value;(e||p.viewer)&&(p.viewer??=import("./viewer.js"),p.viewer.then(({show:o})=>o(e),()=>y("The viewer could not be loaded.")))});p(()=>{let{terms:e}=c.value,o=e.filter(t=>t.text).map(t=>`${t.weight<0?"\u2212 ":""}${t.text}`);document.title=o.length?`${o.join(" ")} \xB7 Descry`:"Descry"});k(s`<${Q} />`,document.body);
