// What the comparison of versions adds to two images side by side: one on top of the other, with a slider between them.
"use strict";

let count = 0;

function swipe(pair) {
  const [before, after] = pair.querySelectorAll("img");
  const [beforeName, afterName] = [...pair.querySelectorAll("figcaption")].map((caption) => caption.textContent);
  if (!before || !after) return;
  const slider = document.createElement("input");
  slider.type = "range";
  slider.min = "0";
  slider.max = "100";
  slider.value = "50";
  slider.id = `swipe-${count++}`;
  slider.setAttribute("aria-label", pair.dataset.swipe);
  const show = () => {
    pair.style.setProperty("--swipe", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value}% ${beforeName}, ${100 - Number(slider.value)}% ${afterName}`);
  };
  slider.addEventListener("input", show);
  show();
  pair.classList.add("is-swipe");
  pair.append(slider);
}

for (const pair of document.querySelectorAll("[data-swipe]")) swipe(pair);
