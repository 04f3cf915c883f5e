// A first agent, by a client whose types come from openapi.yaml.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type TaskRun = components["schemas"]["TaskRunView"];

export async function firstRun(baseUrl: string, key: string): Promise<TaskRun> {
  const api = createClient<paths>({ baseUrl, headers: { "X-API-Key": key } });
  const agent = await api.POST("/v1/agents", {
    body: { name: "Echo", type: "TASK_RUNNER", model: "mock/echo" },
  });
  if (agent.error) throw new Error(`${agent.error.code}: ${agent.error.detail}`);
  const run = await api.POST("/v1/task-runs", {
    params: { query: { wait: 30 }, header: { "Idempotency-Key": "first" } },
    body: { agentId: agent.data.id, input: "Hello" },
  });
  if (run.error) throw new Error(`${run.error.code}: ${run.error.detail}`);
  const page = await api.GET("/v1/task-runs", {
    params: { query: { status: "COMPLETED", limit: 10, metadata: { team: "blue" } } },
  });
  for (const other of page.data?.data ?? []) console.log(other.id, other.cost, other.tokensUsed.total);
  return run.data;
}
