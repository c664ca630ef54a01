/** @file The page's only script. It holds nothing of the report: its hash stands in the page's policy, which lets no other script run. */
export const script = `'use strict';
const viewer = document.getElementById('viewer');
const part = (name) => viewer.querySelector('[data-part=' + name + ']');
const shots = new Map([...document.querySelectorAll('.shot')].map((shot) => [shot.dataset.at, shot]));
let current;

function show(shot) {
  current = shot;
  const { label, prompt, seed, command } = shot.dataset;
  const small = shot.querySelector('img');
  const large = part('picture');
  large.src = small.src;
  large.width = small.naturalWidth || small.width;
  large.height = small.naturalHeight || small.height;
  large.alt = small.alt;
  part('label').textContent = label;
  part('prompt').textContent = prompt;
  part('seed').textContent = seed;
  part('command').textContent = command;
  for (const button of viewer.querySelectorAll('[data-move]'))
    button.disabled = beside(button.dataset.move) === undefined;
  if (!viewer.open) viewer.showModal();
}

function beside(move) {
  const [row, column] = current.dataset.at.split(',').map(Number);
  const [down, right] = move.split(',').map(Number);
  return shots.get(row + down + ',' + (column + right));
}

function go(move) {
  const next = beside(move);
  if (next) show(next);
}

const keys = { ArrowLeft: '0,-1', ArrowRight: '0,1', ArrowUp: '-1,0', ArrowDown: '1,0' };
viewer.addEventListener('keydown', (event) => {
  const move = keys[event.key];
  if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  go(move);
});
// Escape goes back to the picture that was looked at last.
viewer.addEventListener('close', () => current.focus());
viewer.addEventListener('click', (event) => {
  if (event.target === viewer) viewer.close();
});

async function copy(button) {
  const source = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    say(button, 'Copied');
  } catch {
    getSelection().selectAllChildren(source);
    say(button, 'Marked: copy it with Ctrl+C');
  }
}

function say(button, text) {
  document.getElementById('said').textContent = '';
  part('said').textContent = '';
  (button.closest('dialog') ? part('said') : document.getElementById('said')).textContent = text;
  button.classList.add('done');
  setTimeout(() => button.classList.remove('done'), 1500);
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.matches('.shot')) show(button);
  else if (button.dataset.move) go(button.dataset.move);
  else if (button.dataset.copies) copy(button);
  else if (button.matches('.close')) viewer.close();
});
document.documentElement.classList.add('scripted');
`;
