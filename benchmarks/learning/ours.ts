/** @file Our side, in a process of its own: `node ours.ts TASK`. The end of each step is a line of JSON on stdout. */
import { buildRun, cpu, metricLines, parseRecipe } from '@sdft/methods';

export interface Task {
  readonly recipe: object;
  /** Where the result goes. */
  readonly result: string;
  readonly threads: number;
}

if (import.meta.main) {
  const { recipe, result, threads } = JSON.parse(process.argv[2]!) as Task;
  const parsed = parseRecipe(recipe);
  await using run = await buildRun(parsed, { backend: cpu({ threads }) });
  for await (const report of run.steps(parsed.steps!))
    for (const line of metricLines(report)) console.log(JSON.stringify(line));
  await run.save(result, { force: true });
}
