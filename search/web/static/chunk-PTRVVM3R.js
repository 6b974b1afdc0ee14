import{A as _,B as Y,D as z,H as V,I as X,K as Q,M as U,N as J,S as tt,b as k,c as x,d as G,e as w,f as E,g as O,i as d,j as R,l as S,p as K,q as b,r as L,u as M,v as D,w as N,x as B,y as I,z as q}from"./chunk-3E4WSXG6.js";var it={search:"M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13ZM15.5 15.5 20 20",photo:"M4 7h3l1.5-2h7L17 7h3v12H4ZM12 9.5a3.5 3.5 0 1 1 0 7 3.5 3.5 0 0 1 0-7Z",close:"M6 6l12 12M18 6 6 18",check:"M5 12.5l4.5 4.5L19 7.5",filter:"M4 6h16M7 12h10M10 18h4",like:"M12 5v14M5 12h14",unlike:"M5 12h14",heat:"M12 3c1 4 5 5.5 5 10a5 5 0 0 1-10 0c0-2 1-3.500 2-4.500 0 2 1 3 2 3 1.500-2 .5-5.500 1-8.500Z",crop:"M7 3v14h14M3 7h14v14",folder:"M3 6h6l2 2h10v11H3Z",copy:"M9 9h11v11H9ZM5 15H4V4h11v1",download:"M12 4v11M7 11l5 5 5-5M5 20h14",place:"M12 21c-4-5-6-8-6-11a6 6 0 0 1 12 0c0 3-2 6-6 11ZM12 8a2 2 0 1 1 0 4 2 2 0 0 1 0-4Z",info:"M12 11v6M12 7.500v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z",grid:"M4 4h7v7H4ZM13 4h7v7h-7ZM4 13h7v7H4ZM13 13h7v7h-7Z",groups:"M8 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8ZM17 12a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8 15a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5Z",map:"M4 6l5-2 6 2 5-2v14l-5 2-6-2-5 2ZM9 4v14M15 6v14",twins:"M4 8h11v11H4ZM9 8V5h11v11h-5",tag:"M4 4h8l8 8-8 8-8-8ZM8 8v.01"};function C({name:t}){return d`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${it[t]} /></svg>`}var et={in:"folder",camera:"camera",tag:"tag",place:"place",type:"type",on:"date",lens:"lens",colour:"colours"},P=O(null);function Lt(){let[t,e]=k(""),[n,r]=k([]),[s,c]=k(-1),u=w(null),a=w(null);x(()=>{let o=f=>{f.key==="/"&&!/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)&&(f.preventDefault(),u.current.focus(),u.current.select())};return addEventListener("keydown",o),()=>removeEventListener("keydown",o)},[]),x(()=>{if(c(-1),t.trim().length<2)return r([]);let o=new AbortController,f=setTimeout(()=>R("api/suggestions",{text:t},o.signal).then(g=>r(g.suggestions),()=>{}),120);return()=>{clearTimeout(f),o.abort()}},[t]);let l=async()=>{if(e(""),r([]),!t.trim())return;let o=await R("api/reading",{text:t}).catch(()=>({text:t,filters:[]})),f=_(o.text);(f.length||o.filters.length)&&lt(f,t,o.filters)},i=o=>{o.field?(I(o.field,o.value),e(t.replace(/\S+\s*$/,""))):e(o.value),r([]),u.current.focus()},p=o=>{if(o.key==="ArrowDown"&&n.length)c((s+1)%n.length);else if(o.key==="ArrowUp"&&n.length)c(s<=0?n.length-1:s-1);else if(o.key==="Escape")n.length?r([]):u.current.blur();else if(o.key==="Enter")s>=0?i(n[s]):l();else if(o.key==="Backspace"&&!t&&b.value.terms.length){let f=b.value.terms.at(-1);M({terms:b.value.terms.slice(0,-1)}),f.text&&e(`${f.weight<0?"- ":""}${f.text}`)}else return;o.preventDefault()};return d`<form class="ask" role="search" onSubmit=${o=>{o.preventDefault(),l()}}>
    <${C} name="search" />
    <input
      ref=${u}
      type="text"
      enterkeyhint="search"
      autocomplete="off"
      placeholder=${D(b.value)?"Ask anew, or refine: + at night  \u2212 people":"Describe what you look for, or drop a photo"}
      aria-label="Ask"
      role="combobox"
      aria-autocomplete="list"
      aria-expanded=${n.length>0}
      aria-controls="offers"
      aria-activedescendant=${s>=0?`offer-${s}`:null}
      value=${t}
      onInput=${o=>e(o.currentTarget.value)}
      onKeyDown=${p}
      onBlur=${()=>setTimeout(()=>r([]),150)}
    />
    <button type="button" class="plain" aria-label="Look for a photo of yours" title="Look for a photo of yours (or drop or paste one)"
      onClick=${()=>a.current.click()}><${C} name="photo" /></button>
    <input ref=${a} type="file" accept="image/*,.heic,.heif" hidden onChange=${o=>{j(o.currentTarget.files[0]),o.currentTarget.value=""}} />
    <ul id="offers" class="offers" role="listbox" aria-label="Suggestions" hidden=${!n.length}>
      ${n.map((o,f)=>d`<li
        key=${`${o.field} ${o.value}`}
        id=${`offer-${f}`}
        role="option"
        aria-selected=${f===s}
        onPointerDown=${g=>{g.preventDefault(),i(o)}}
      ><span>${o.field==="in"?o.value.split("/").at(-1):o.value}</span>
        <small>${o.field?`${et[o.field]??o.field}, ${o.count}`:""}</small></li>`)}
    </ul>
  </form>`}function lt(t,e,n){let{terms:r,filters:s}=b.value,c=/^\s*[+-]/.test(e),u=c?r:r.filter(i=>i.photo),a=({field:i,value:p})=>s.some(o=>o.field===i&&o.value===p),l=n.filter(i=>!a(i)).map(({field:i,value:p,negated:o})=>({field:i,value:p,negated:o}));M({...c?{}:{right:[],wrong:[]},terms:[...u,...t],filters:[...s,...l],sort:"",fits:null,view:""})}function j(t){if(t){if(t.type&&!t.type.startsWith("image/"))return q(`${t.name} is no photo.`);M({...K,terms:[{photo:t,weight:1}],filters:b.value.filters})}}function Et(){let{terms:t,filters:e,right:n,wrong:r,group:s}=b.value;if(!t.length&&!e.length&&s===null)return null;let c=(a,l)=>M({terms:t.map((i,p)=>p===a?l:i)}),u=a=>M({terms:t.filter((l,i)=>i!==a)});return d`<ul class="chips" aria-label="What is asked">
    ${t.map((a,l)=>d`<li key=${`t${l}`} class=${a.weight<0?"chip minus":"chip"}>
      <button class="sign" aria-label=${a.weight<0?"Taken away; add it instead":"Added; take it away instead"}
        title="wanted or not" onClick=${()=>c(l,{...a,weight:-a.weight})}>${a.weight<0?"\u2212":"+"}</button>
      <${ct} term=${a} onCrop=${i=>c(l,{...a,photo:i})} />
      <button class="weight" aria-label=${`Weight ${Math.abs(a.weight)}; change`} title="how much it counts"
        onClick=${()=>c(l,{...a,weight:rt(a.weight)})}>${Math.abs(a.weight)===1?"\xD71":`\xD7${Math.abs(a.weight)}`}</button>
      <button class="close" aria-label="Remove" onClick=${()=>u(l)}><${C} name="close" /></button>
    </li>`)}
    ${e.map(a=>d`<li key=${`${a.field} ${a.value} ${a.negated}`} class=${a.negated?"chip filter minus":"chip filter"}>
      <button class="sign" aria-label=${a.negated?"Left out; show only these instead":"Only these; leave them out instead"} title="only these, or all others"
        onClick=${()=>M({filters:e.map(l=>l===a?{...a,negated:!a.negated}:l)})}>${a.negated?"not":"only"}</button>
      <span>${et[a.field]??a.field} ${a.field==="in"?a.value.split("/").at(-1):a.value}</span>
      <button class="close" aria-label="Remove" onClick=${()=>I(a.field,a.value,a.negated)}><${C} name="close" /></button>
    </li>`)}
    ${s!==null&&d`<li class="chip filter"><span>${z.value.group?.name??"group"}</span>
      <button class="close" aria-label="Leave the group" onClick=${()=>M({group:null,view:t.length?"":"groups"})}><${C} name="close" /></button></li>`}
    ${n.length+r.length>0&&d`<li class="chip filter"><span>${[n.length&&`${n.length} right`,r.length&&`${r.length} wrong`].filter(Boolean).join(", ")}</span>
      <button class="close" aria-label="Forget the marks" onClick=${()=>M({right:[],wrong:[]})}><${C} name="close" /></button></li>`}
    <li><button class="plain" onClick=${()=>M(K)}>Clear</button></li>
  </ul>`}function rt(t){let e=[1,2,.5];return Math.sign(t)*e[(e.indexOf(Math.abs(t))+1)%e.length]}function ct({term:t,onCrop:e}){let[n,r]=k(null);return x(()=>{if(!t.photo)return;let s=URL.createObjectURL(t.photo);return r(s),()=>URL.revokeObjectURL(s)},[t.photo]),t.photo?d`<button class="what" title="Mark a detail of it" aria-label="Your photo; mark a detail of it"
      onClick=${()=>P.value={src:n,done:e}}>${n&&d`<img src=${n} alt="" />`}</button>`:t.id?d`<button class="what" aria-label="A photo of the library" onClick=${()=>M({open:t.id})}><img src=${S(t.id)} alt="" /></button>`:d`<span>${Y(t)}</span>`}function Ot(){let[t,e]=k(!1);return x(()=>{let n=l=>[...l.dataTransfer?.types??[]].includes("Files"),a={dragover:l=>{n(l)&&(l.preventDefault(),e(!0))},dragleave:l=>l.relatedTarget===null&&e(!1),drop:l=>{n(l)&&(l.preventDefault(),e(!1),j(l.dataTransfer.files[0]))},paste:l=>{let i=[...l.clipboardData?.files??[]].find(({type:p})=>p.startsWith("image/"));i&&j(i)}};for(let[l,i]of Object.entries(a))addEventListener(l,i);return()=>{for(let[l,i]of Object.entries(a))removeEventListener(l,i)}},[]),t&&d`<div class="drop"><p>Drop the photo to find others like it</p></div>`}function St(){let{src:t,done:e}=P.value,[n,r]=k(null),s=w(null),c=w(null);x(()=>c.current.showModal(),[]);let u=o=>{let{left:f,top:g,width:y,height:m}=s.current.getBoundingClientRect(),h=($,v)=>Math.min(1,Math.max(0,$/v));return[h(o.clientX-f,y),h(o.clientY-g,m)]},a=n&&{left:Math.min(n[0],n[2]),top:Math.min(n[1],n[3]),width:Math.abs(n[2]-n[0]),height:Math.abs(n[3]-n[1])},l=a&&a.width>.02&&a.height>.02,i=()=>{let{naturalWidth:o,naturalHeight:f}=s.current,g=document.createElement("canvas");g.width=Math.round(a.width*o),g.height=Math.round(a.height*f),g.getContext("2d").drawImage(s.current,-a.left*o,-a.top*f),g.toBlob(m=>{P.value=null,e(new File([m],"detail.jpg",{type:"image/jpeg"}))},"image/jpeg",.92)},p=o=>`${o*100}%`;return d`<dialog class="cropper" ref=${c} aria-label="Mark a detail" onClose=${()=>P.value=null}>
    <p>Draw a box around what you look for.</p>
    <div class="canvas" onPointerDown=${o=>{o.currentTarget.setPointerCapture(o.pointerId);let f=u(o);r([...f,...f])}} onPointerMove=${o=>o.buttons&&n&&r([n[0],n[1],...u(o)])}>
      <img ref=${s} src=${t} alt="" draggable=${!1} />
      ${a&&d`<i style=${{left:p(a.left),top:p(a.top),width:p(a.width),height:p(a.height)}}></i>`}
    </div>
    <div class="buttons">
      <button onClick=${()=>c.current.close()}>Cancel</button>
      <button class="main" disabled=${!l} onClick=${i}>Find this</button>
    </div>
  </dialog>`}function ut(){let t={"-date":"Newest first",date:"Oldest first",name:"By name","-size":"Largest file first"};return D(b.value)?{relevance:"Best first",...t}:t}function Pt(){let t=ut();return d`<select aria-label="Order" value=${N(b.value)} onChange=${e=>M({sort:e.currentTarget.value})}>
    ${Object.entries(t).map(([e,n])=>d`<option key=${e} value=${e}>${n}</option>`)}
  </select>`}function nt({aspects:t,sections:e},n,r){let s={first:[],count:[],top:[],height:[],section:[],total:0},c=0,u=(a,l,i,p)=>{s.first.push(a),s.count.push(l),s.top.push(c),s.height.push(i),s.section.push(p),c+=i+(l?4:0)};return e.forEach(({label:a,start:l,end:i},p)=>{a&&u(l,0,44,p);for(let o=l,f=l,g=0;f<i;f++){g+=t[f];let y=4*(f-o),m=g*r+y>=n;!m&&f<i-1||(u(o,f-o+1,m?(n-y)/g:Math.min(r,(n-y)/g),p),o=f+1,g=0)}}),s.total=c,s}function F(t,e){let[n,r]=[0,t.length-1];for(;n<r;){let s=n+r+1>>1;t[s]<=e?n=s:r=s-1}return Math.max(0,n)}function W(t,e){let n=F(t.first,e);for(;n<t.first.length-1&&(!t.count[n]||t.first[n]+t.count[n]<=e);)n++;return n}var ht=12e6,T=O(0),ft=t=>t<600?t*.38:t<1200?180:210;function pt(){let t=U.value,e=w(null),[n,r]=k(0),[s,c]=k({top:0,height:0,isFast:!1}),u=E(()=>t&&n?nt(t,n,ft(n)):null,[t,n]);G(()=>{let h=()=>{let v=getComputedStyle(e.current);r(e.current.clientWidth-parseFloat(v.paddingLeft)-parseFloat(v.paddingRight)),c(A=>({...A,height:e.current.clientHeight}))},$=new ResizeObserver(h);return $.observe(e.current),h(),()=>$.disconnect()},[]);let a=u?Math.min(u.total,ht):0,l=Math.max(1,a-s.height),i=u?Math.max(1,(u.total-s.height)/l):1,p=s.top*i,o=w(0),f=()=>{let h=e.current.scrollTop,$=Math.abs(h-s.top)>s.height;clearTimeout(o.current),$&&(o.current=setTimeout(()=>c(v=>({...v,isFast:!1})),90)),c({top:h,height:e.current.clientHeight,isFast:$})};x(()=>{e.current.scrollTop=0,T.value=0},[b.value.terms,b.value.filters,b.value.sort,b.value.group]);let g=u?dt(u,p,s.height):[];x(()=>{if(!t||s.isFast)return;let h=g.flatMap($=>[...t.ids.subarray(u.first[$],u.first[$]+u.count[$])]);J(h),t.good!==void 0&&g.at(-1)===u.first.length-1&&Q()});let y=h=>{let $=W(u,h),v=u.top[$],A=v+u.height[$];v<p+8?e.current.scrollTop=Math.max(0,v-56)/i:A>p+s.height&&(e.current.scrollTop=(A-s.height+16)/i)},m=h=>{T.value=Math.max(0,Math.min(t.ids.length-1,h)),y(T.value),requestAnimationFrame(()=>requestAnimationFrame(()=>gt(T.value)?.focus({preventScroll:!0})))};return x(()=>{pt.move=t?m:null}),d`<div class="stage">
    <div class="scroll" ref=${e} onScroll=${f} id="grid">
      <div
        class="rows"
        role="grid"
        aria-label="Photos"
        aria-rowcount=${u?.first.length??0}
        aria-multiselectable="true"
        style=${{height:`${a}px`}}
        onKeyDown=${h=>t?.ids.length&&vt(h,t,u,m)}
      >
        ${g.map(h=>d`<${$t} key=${`${h}-${u.first[h]}`} ...${{row:h,rows:u,list:t,width:n,isFast:s.isFast}}
          at=${u.top[h]-p+s.top} />`)}
      </div>
    </div>
    ${u&&t.sections.length>1&&t.sections[0].year&&d`<${bt} ...${{rows:u,list:t,top:p,view:s}}
      go=${h=>e.current.scrollTop=h/i} />`}
  </div>`}function dt(t,e,n){let r=F(t.top,e-n/2),s=[];for(let c=r;c<t.first.length&&t.top[c]<e+1.5*n;c++)s.push(c);return s}var gt=t=>document.querySelector(`[data-photo="${t}"]`);function $t({row:t,rows:e,list:n,width:r,isFast:s,at:c}){let u={transform:`translateY(${c}px)`,height:`${e.height[t]}px`};if(!e.count[t]){let i=n.sections[e.section[t]];return d`<div class="row heading" role="row" aria-rowindex=${t+1} style=${u}>
      <div role="rowheader"><h2>${i.label}</h2> <span>${(i.end-i.start).toLocaleString("en")}</span></div>
    </div>`}let a=0,l=[];for(let i=e.first[t];i<e.first[t]+e.count[t];i++){let p=i===e.first[t]+e.count[t]-1,o=e.height[t]*n.aspects[i],f=p&&o+a>r-6?r-a:o;l.push(d`<${mt} key=${n.ids[i]} photo=${i} id=${n.ids[i]} left=${a} width=${f}
      isFast=${s} isApart=${n.sections[e.section[t]].isApart} />`),a+=o+4}return d`<div class="row" role="row" aria-rowindex=${t+1} style=${u}>${l}</div>`}function mt({photo:t,id:e,left:n,width:r,isFast:s,isApart:c}){let[u,a]=k(""),l=w(!1);l.current||=!s;let i=X.value>=0?V.get(e):null,p=L.value.has(e),{right:o,wrong:f}=b.value,g=o.includes(e)?"right":f.includes(e)?"wrong":"",y=`${tt(i)}${g&&`, marked ${g}`}${i?.alike>0?`, +${i.alike}`:""}`;return d`<div
    class=${`tile ${p?"chosen":""} ${c?"apart":""} ${u}`}
    role="gridcell"
    aria-label=${y}
    aria-selected=${p}
    tabindex=${T.value===t?0:-1}
    data-photo=${t}
    data-id=${e}
    style=${{left:`${n}px`,width:`${r}px`}}
    title=${i?y:null}
    onFocus=${()=>T.value=t}
    onClick=${m=>m.shiftKey||m.ctrlKey||m.metaKey||L.value.size?Z(t,m.shiftKey):M({open:e})}
  >
    ${l.current&&d`<img src=${S(e)} alt="" decoding="async" draggable=${!1}
      onLoad=${()=>a("loaded")} onError=${()=>a("broken")} />`}
    ${u==="broken"&&d`<span class="why">${i?.missing?"the file is gone":"no picture"}</span>`}
    ${i?.alike>0&&d`<button class="badge" tabindex="-1" aria-label=${`${i.alike} nearly the same; show them`} title="Nearly the same: show them"
      onClick=${m=>{m.stopPropagation(),M({terms:[{id:e,weight:1}],right:[],wrong:[],sort:"",unique:!1,fits:"all",view:"",group:null})}}>+${i.alike}</button>`}
    ${g&&d`<span class=${`mark ${g}`}><${C} name=${g==="right"?"check":"close"} /></span>`}
    <button class="pick" tabindex="-1" aria-label="Select" onClick=${m=>{m.stopPropagation(),Z(t,m.shiftKey)}}><${C} name="check" /></button>
  </div>`}var H=null;function Z(t,e=!1){let{ids:n}=U.value,r=new Set(L.value);if(e&&H!==null)for(let s=Math.min(H,t);s<=Math.max(H,t);s++)r.add(n[s]);else r.delete(n[t])||r.add(n[t]);H=t,L.value=r}function vt(t,e,n,r){if(t.ctrlKey||t.metaKey||t.altKey)return;let s=T.value,c=W(n,s),a={ArrowLeft:()=>r(s-1),ArrowRight:()=>r(s+1),ArrowUp:()=>r(at(e,n,s,c,-1)),ArrowDown:()=>r(at(e,n,s,c,1)),PageUp:()=>r(n.first[Math.max(0,c-4)]),PageDown:()=>r(n.first[Math.min(n.first.length-1,c+4)]),Home:()=>r(0),End:()=>r(e.ids.length-1),Enter:()=>M({open:e.ids[s]}),x:()=>Z(s),X:()=>Z(s,!0),s:()=>M({terms:[{id:e.ids[s],weight:1}],right:[],wrong:[],sort:"",view:"",group:null}),"+":()=>D(b.value)&&B([e.ids[s]],"right"),"-":()=>D(b.value)&&B([e.ids[s]],"wrong")}[t.key];a&&(t.preventDefault(),a())}function at(t,e,n,r,s){let c=r+s;for(;c>=0&&c<e.first.length&&!e.count[c];)c+=s;if(c<0||c>=e.first.length)return n;let u=(i,p)=>{let o=0;for(let f=e.first[i];f<p;f++)o+=t.aspects[f]*e.height[i]+4;return o+t.aspects[p]*e.height[i]/2},a=u(r,n),l=e.first[c];for(let i=l+1;i<e.first[c]+e.count[c];i++)Math.abs(u(c,i)-a)<Math.abs(u(c,l)-a)&&(l=i);return l}function bt({rows:t,list:e,top:n,view:r,go:s}){let c=w(null),[u,a]=k(null),l=Math.max(1,t.total-r.height),i=E(()=>t.first.map((h,$)=>$).filter(h=>!t.count[h]),[t]),p=E(()=>{let h=[];for(let v of i){let{year:A}=e.sections[t.section[v]],st=t.top[v]/Math.max(1,t.total);A!==h.at(-1)?.year&&h.push({year:A,at:st})}let $=-1;return h.filter(({at:v})=>(v-$>.035||$<0)&&($=v,!0))},[t]),o=h=>e.sections[t.section[F(t.top,h)]],f=h=>{let{top:$,height:v}=c.current.getBoundingClientRect();return Math.min(1,Math.max(0,(h.clientY-$)/v))},g=h=>{a(f(h)),h.buttons&&s(f(h)*l)},y=Math.min(1,n/l),m=u??y;return d`<div
    class="scrubber"
    ref=${c}
    role="slider"
    tabindex="0"
    aria-label="Date"
    aria-orientation="vertical"
    aria-controls="grid"
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(y*100)}
    aria-valuetext=${o(n).label}
    onPointerDown=${h=>{c.current.setPointerCapture(h.pointerId),s(f(h)*l)}}
    onPointerMove=${g}
    onPointerLeave=${()=>a(null)}
    onKeyDown=${h=>{let $={ArrowDown:1,ArrowUp:-1}[h.key];if(!$)return;h.preventDefault();let v=i.findLastIndex(A=>t.top[A]<=n+1);s(t.top[i[Math.min(i.length-1,Math.max(0,v+$))]])}}
  >
    ${p.map(({year:h,at:$})=>d`<span class="year" style=${{top:`${$*100}%`}}>${h}</span>`)}
    <i class="now" style=${{top:`${y*100}%`}}></i>
    ${u!==null&&d`<b class="bubble" style=${{top:`${m*100}%`}}>${o(u*l).label}</b>`}
  </div>`}export{C as a,P as b,Lt as c,Et as d,Ot as e,St as f,Pt as g,pt as h};
