/**
 * Letters for machines without any font (bare containers), where a system font would show a box for every letter. Each of the 95
 * printable ASCII characters is 5 x 7 dots: one base-32 digit a row from the top, its five bits from left to right.
 */
const GLYPHS =
  '0000000 4444404 AAA0000 AAVAVAA 4FKE5U4 OP248J3 CIK8LID 4480000 2488842 8422248 04LEL40 044V440 0000C48 000V000 00000CC 01248G0 ' +
  'EHJLPHE 4C4444E EH1248V V2421HE 26AIV22 VGU11HE 68GUHHE V124888 EHHEHHE EHHF12C 0CC0CC0 0CC0C48 248G842 00V0V00 8421248 EH12404 ' +
  'EH1DLLE EHHHVHH UHHUHHU EHGGGHE SIHHHIS VGGUGGV VGGUGGG EHGNHHF HHHVHHH E44444E 72222IC HIKOKIH GGGGGGV HRLLHHH HHPLJHH EHHHHHE ' +
  'UHHUGGG EHHHLID UHHUKIH FGGE11U V444444 HHHHHHE HHHHHA4 HHHLLLA HHA4AHH HHHA444 V1248GV E88888E 0G84210 E22222E 4AH0000 000000V ' +
  '8420000 00E1FHF GGMPHHU 00EGGHE 11DJHHF 00EHVGE 698S888 0FHHF1E GGMPHHH 40C444E 20622IC GGIKOKI C44444E 00QLLHH 00MPHHH 00EHHHE ' +
  '00UHUGG 00DJF11 00MPGGG 00EGE1U 88S8896 00HHHJD 00HHHA4 00HHLLA 00HA4AH 00HHF1E 00V248V 2448442 4444444 8442448 08L2000';

const glyphs: readonly string[] = GLYPHS.split(' ');
/** Any other character: a box. */
const BOX = 'VHHHHHV';

/** Dots from one letter to the next. */
export const ADVANCE = 6;
/** Dots from the top of a letter to the line it stands on. */
export const ASCENT = 7;

/** SVG path data of a line of text in dots, its first letter's top left corner at (0, 0). */
export function dotPath(text: string): string {
  let path = '';
  [...text].forEach((character, place) => {
    const rows = glyphs[character.charCodeAt(0) - 32] ?? BOX;
    [...rows].forEach((digit, y) => {
      const bits = Number.parseInt(digit, 32);
      for (let x = 0; x < 5; x++) {
        if ((bits >> (4 - x)) & 1) path += `M${place * ADVANCE + x} ${y}h1v1h-1z`;
      }
    });
  });
  return path;
}
