import { defineProject, mergeConfig } from 'vitest/config';
import { shared } from '../../vitest.shared.ts';

// Its tests wait for one another's programs, and these for their files; npm test comes to this project last.
export default mergeConfig(shared, defineProject({ test: { name: 'cli', maxWorkers: 2 } }));
