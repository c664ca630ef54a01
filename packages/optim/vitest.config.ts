import { defineProject, mergeConfig } from 'vitest/config';
import { driver, shared } from '../../vitest.shared.ts';

export default mergeConfig(shared, defineProject({ test: { name: 'optim', env: driver } }));
