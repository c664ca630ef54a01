// Loaded with --import: the process takes itself for an old Node.
Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.11.1' } });
