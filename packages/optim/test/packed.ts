/** Little-endian f32 in base64. */
export const unpacked = (text: string): Float32Array =>
  new Float32Array(Uint8Array.from(Buffer.from(text, 'base64')).buffer);

export const unpackedAll = (
  packed: Readonly<Record<string, string>>,
): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(packed).map(([name, text]) => [name, unpacked(text)]));
