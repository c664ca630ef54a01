/** @file Which subjects the base learns: those that most artists drew, near-duplicates left out. */
import type { Subject } from './artwork.ts';

/** Of the base's five artists, at least so many drew a concept. */
const LEAST = 4;

/** Subgroups of which nothing is taken: too alike, or signs rather than drawings. */
const without = new Set([
  ...['family', 'person-symbol', 'hand-single-finger', 'emotion', 'place-map', 'place-religious'],
  ...['sound', 'office', 'mail', 'lock', 'book-paper', 'money', 'arts-crafts', 'award-medal'],
  ...['science', 'hotel', 'other-object', 'event'],
]);

/** Of these only `person ...` is taken, without the man and the woman who do the same. */
const once = new Set(['person-gesture', 'person-activity', 'person-sport', 'person-resting']);

/** Alike among one another. */
const alike = [
  /o'clock$|-thirty$|: facing right$|^oncoming /,
  /^(waxing|waning|first quarter|last quarter|new moon)/,
  /^(two|revolving|growing|beating|sparkling) hearts?$|^heart (decoration|with (arrow|ribbon))$/,
  /^(green|blue|orange|yellow|purple|black) (heart|book)$|^love letter$/,
  /^globe showing (asia|americas)|^speaker |yen|euro|pound|chart|banknote/,
  /^(1st|2nd|3rd) place|sun behind|cloud with|umbrella (with|on)|^closed umbrella/,
  /suit$|mahjong|musical notes|control knobs|level slider|film frames|movie camera/,
  /^(computer|floppy|optical) disk$|^dvd$|magnifying glass tilted right|camera with flash/,
  /^(sunrise|sunset|cityscape|foggy|night with stars|bridge at night|milky way|fog$|wind face)/,
  /^(hotel|love hotel|bank|japanese post office|department store|office building|school)$/,
  /^(light rail|metro|station|tram car|railway car|high-speed train|suspension railway)$/,
  /^(mountain railway|mountain cableway|aerial tramway|trolleybus|minibus|bus stop)$/,
  /^(motorway|railway track|construction|horizontal traffic light|seat)$/,
  /^(airplane departure|airplane arrival|anguished face|frowning face with open mouth)$/,
  /^(mrs\. claus|person wearing turban|woman wearing turban|(wo)?man with (veil|headscarf))$/,
  /^(hushed face|weary face|persevering face|kissing face with|kissing face$|lying face)/,
];

/** Taken though fewer artists drew them: the subjects of the pictures to fine-tune on, and of the experiment. */
const also = new Set([
  ...['child', 'ninja', 'older person', 'elf', 'fairy', 'mage', 'vampire', 'astronaut'],
  ...['superhero', 'mermaid', 'zombie', 'genie', 'singer', 'farmer', 'cook', 'scientist'],
  ...['person in tuxedo', 'horse', 'robot', 'giraffe', 'zebra', 'parrot', 'flamingo', 'swan'],
  ...['jack-o-lantern', 'christmas tree', 'balloon', 'wrapped gift', 'party popper', 'trophy'],
]);

/** Whether the base learns a subject that so many of its artists drew. */
export function isConcept({ label, subgroup }: Subject, drawn: number): boolean {
  if (also.has(label)) return true;
  if (drawn < LEAST || without.has(subgroup)) return false;
  if (once.has(subgroup) && /^(wo)?m[ae]n /.test(label) && label !== 'woman dancing') return false;
  return !alike.some((pattern) => pattern.test(label));
}
