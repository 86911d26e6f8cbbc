"""The nursery: a process without threads that has imported the tasks and forks a child per job.

    engine --(control: Kind.RUN, a descriptor)--> nursery --fork--> child
    engine <------------------(channel: one socket per job)-------> child

The engine has threads, so it must not fork; it starts the nursery as a new program, of which the
children are copies. `link` and `run` are what the engine holds of a nursery and of a child;
`loop` and `child` run in those processes; `frames` and `messages` are what they say to each other.
The engine trusts the nursery, and nothing that comes from a child.
"""
