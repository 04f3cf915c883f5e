"""A first agent, by a client that was generated from openapi.yaml."""

from mission_control_client import AuthenticatedClient
from mission_control_client.api.agents import create_agent
from mission_control_client.api.task_runs import create_task_run
from mission_control_client.models import AgentType, AgentView, CreateAgent, CreateTaskRun, TaskRunView


def first_run(base_url: str, key: str) -> TaskRunView:
    client = AuthenticatedClient(base_url=base_url, token=key, prefix="", auth_header_name="X-API-Key")
    agent = create_agent.sync(
        client=client,
        body=CreateAgent(name="Echo", type_=AgentType.TASK_RUNNER, model="mock/echo"),
    )
    assert isinstance(agent, AgentView)
    run = create_task_run.sync(client=client, wait=30, body=CreateTaskRun(agent_id=agent.id, input_="Hello"))
    assert isinstance(run, TaskRunView)
    return run
