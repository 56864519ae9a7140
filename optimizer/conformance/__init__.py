"""Our autoscalers held against the published test cases of the projects that they model."""
