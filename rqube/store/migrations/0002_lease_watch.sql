-- When somebody last looked after the leases. The release before neither reads nor writes it: then
-- the first scheduler of this one waits a lease before it takes a job from a worker, as it did.

CREATE TABLE lease_watch (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    looked_at timestamptz NOT NULL,
    reap_from timestamptz NOT NULL
);
INSERT INTO lease_watch (looked_at, reap_from) VALUES ('epoch', 'epoch');
