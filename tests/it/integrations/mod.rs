mod integrations;
