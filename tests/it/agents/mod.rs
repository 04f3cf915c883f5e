mod agent_tools;
mod agent_versions;
mod agents;
mod tools;
