/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/**
 * Texts below 4.5:1 and lines of plots below 3:1 against what they stand on (WCAG 2.2, 1.4.3 and 1.4.11). Runs in the page.
 */
export function lowContrast(): string[] {
  type Rgb = readonly [number, number, number];
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;
  const read = (colour: string): readonly [Rgb, number] => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [[r!, g!, b!], a! / 255];
  };
  const luminance = (rgb: Rgb): number => {
    const [r, g, b] = rgb.map((byte) => {
      const x = byte / 255;
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  const ground = (element: Element): Rgb => {
    for (let at: Element | null = element; at; at = at.parentElement) {
      const [rgb, alpha] = read(getComputedStyle(at).backgroundColor);
      if (alpha > 0.99) return rgb;
    }
    return [255, 255, 255];
  };
  const ratio = (a: Rgb, b: Rgb): number => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light! + 0.05) / (dark! + 0.05);
  };
  const low: string[] = [];
  for (const element of document.querySelectorAll('body *')) {
    if (element.getClientRects().length === 0 || element.closest(':disabled')) continue;
    const style = getComputedStyle(element);
    const tell = (colour: string, least: number, what: string): void => {
      const found = ratio(read(colour)[0], ground(element));
      if (found < least)
        low.push(`${what} ${element.tagName}.${element.getAttribute('class')} ${found.toFixed(2)}`);
    };
    const ownText = [...element.childNodes].some(
      (node) => node.nodeType === Node.TEXT_NODE && node.textContent!.trim() !== '',
    );
    if (element instanceof SVGElement) {
      const isText = element.tagName === 'text';
      if (isText) tell(style.fill, 4.5, 'text');
      else if (element.closest('.mark-line') && style.stroke !== 'none')
        tell(style.stroke, 3, 'line');
    } else if (ownText && !element.matches('.unseen, .skip')) tell(style.color, 4.5, 'text');
  }
  return low;
}
