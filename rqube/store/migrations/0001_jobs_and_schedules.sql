-- Jobs, their attempts, the schedules that submit them, and who runs them.

CREATE TABLE jobs (
    id               uuid PRIMARY KEY,
    task             text NOT NULL,
    params           jsonb NOT NULL,
    queue            text NOT NULL,
    pool             text,
    state            text NOT NULL DEFAULT 'queued'
                     CONSTRAINT jobs_state_known CHECK (state IN (
                         'queued', 'running', 'succeeded', 'failed', 'cancelled', 'quarantined')),
    priority         smallint NOT NULL DEFAULT 0,
    tags             text[] NOT NULL DEFAULT '{}',
    attempt          integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    failures         integer NOT NULL DEFAULT 0 CHECK (failures >= 0),
    max_attempts     integer NOT NULL CHECK (max_attempts >= 1),
    crashes          integer NOT NULL DEFAULT 0 CHECK (crashes >= 0),
    losses           integer NOT NULL DEFAULT 0 CHECK (losses >= 0),
    isolated         boolean NOT NULL DEFAULT false,
    run_at           timestamptz NOT NULL,
    timeout          interval NOT NULL CHECK (timeout > interval '0'),
    cancel_requested boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at       timestamptz,
    finished_at      timestamptz,
    worker           text,
    lease_until      timestamptz,
    dispatched_at    timestamptz,
    held_until       timestamptz,  -- not handed to Redis before: whoever got it did not know its task
    schedule_id      uuid,
    planned_at       timestamptz,
    progress         jsonb,
    result           jsonb,
    error            jsonb,
    CONSTRAINT jobs_running_has_lease
        CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT jobs_running_has_worker
        CHECK (state <> 'running' OR worker IS NOT NULL),
    CONSTRAINT jobs_final_has_end
        CHECK ((state IN ('succeeded', 'failed', 'cancelled', 'quarantined')) = (finished_at IS NOT NULL)),
    CONSTRAINT jobs_only_success_has_result
        CHECK (result IS NULL OR state = 'succeeded')
) WITH (fillfactor = 50);  -- room for the claim's and the settle's versions on the same page

-- What waits and was handed to Redis: bounded by the window, whatever the backlog
CREATE INDEX jobs_dispatched ON jobs (queue, dispatched_at)
    WHERE state = 'queued' AND dispatched_at IS NOT NULL;
-- What waits for the relay, in the order in which it is handed out, and when the relay is needed next
CREATE INDEX jobs_undispatched ON jobs (queue, priority DESC, run_at, id)
    WHERE state = 'queued' AND dispatched_at IS NULL;
CREATE INDEX jobs_next_due ON jobs (run_at) WHERE state = 'queued' AND dispatched_at IS NULL;
-- What runs, oldest lease first
CREATE INDEX jobs_leases ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_by_schedule ON jobs (schedule_id, id DESC) WHERE schedule_id IS NOT NULL;
CREATE INDEX jobs_by_tag ON jobs USING gin (tags) WHERE tags <> '{}';
CREATE INDEX jobs_ended_badly ON jobs (state, id DESC)
    WHERE state IN ('failed', 'cancelled', 'quarantined');

-- The legal moves, for every client of this database
CREATE FUNCTION refuse_illegal_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % cannot move from % to %', OLD.id, OLD.state, NEW.state
          USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_legal_moves';
END $$;

CREATE TRIGGER jobs_legal_moves BEFORE UPDATE OF state ON jobs
    FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND NOT (
           (OLD.state = 'queued' AND NEW.state IN ('running', 'cancelled'))
        OR (OLD.state = 'running' AND NEW.state IN (
               'queued', 'succeeded', 'failed', 'cancelled', 'quarantined'))
        OR (OLD.state IN ('failed', 'cancelled', 'quarantined') AND NEW.state = 'queued')))
    EXECUTE FUNCTION refuse_illegal_move();

CREATE TABLE attempts (
    job_id     uuid NOT NULL,  -- no foreign key: its check would cost more than the settle
    number     integer NOT NULL CHECK (number >= 1),
    worker     text,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome    text NOT NULL CHECK (outcome IN (
                   'succeeded', 'failed', 'timeout', 'cancelled', 'lost', 'crashed')),
    cause      text,
    error      jsonb,
    PRIMARY KEY (job_id, number)
);

-- Outlives its job: a repeated request is recognised as long as the key is kept
CREATE TABLE idempotency_keys (
    key        text PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 255),
    job_id     uuid NOT NULL,
    body_hash  text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What retention deletes, oldest first
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- The catalogue: what workers and `rqube migrate` registered
CREATE TABLE tasks (
    name            text PRIMARY KEY,
    description     text NOT NULL DEFAULT '',
    params_schema   jsonb NOT NULL,
    queue           text NOT NULL,
    lane            text NOT NULL CHECK (lane IN ('thread', 'process')),
    timeout         interval NOT NULL,
    max_attempts    integer NOT NULL,
    version         text NOT NULL,
    registered_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE schedules (
    id            uuid PRIMARY KEY,
    name          text NOT NULL UNIQUE,
    task          text NOT NULL,
    params        jsonb NOT NULL,
    queue         text NOT NULL,
    at            timestamptz,
    every         interval CHECK (every > interval '0'),
    repeat        integer CHECK (repeat >= 1),
    cron          text,
    time_zone     text NOT NULL DEFAULT 'UTC',
    start_at      timestamptz NOT NULL,
    missed_runs   text NOT NULL DEFAULT 'latest' CHECK (missed_runs IN ('skip', 'latest', 'all')),
    overlap       text NOT NULL DEFAULT 'skip' CHECK (overlap IN ('allow', 'skip', 'queue')),
    max_lateness  interval,
    jitter        interval NOT NULL DEFAULT interval '0',
    enabled       boolean NOT NULL DEFAULT true,
    fired         integer NOT NULL DEFAULT 0,
    next_at       timestamptz,
    last_at       timestamptz,
    error         text,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT schedules_times_in_range  -- what any time zone's local time can say
        CHECK ('1970-01-01+00' <= least(at, start_at, next_at, last_at)
           AND greatest(at, start_at, next_at, last_at) < '9000-01-01+00'),
    CONSTRAINT schedules_one_rule CHECK (num_nonnulls(at, every, cron) = 1),
    CONSTRAINT schedules_repeat_needs_interval CHECK (repeat IS NULL OR every IS NOT NULL)
);
CREATE INDEX schedules_due ON schedules (next_at) WHERE enabled AND next_at IS NOT NULL;

-- The tick ledger: the primary key is why a planned time fires once, whoever fires it
CREATE TABLE occurrences (
    schedule_id uuid NOT NULL,
    planned_at  timestamptz NOT NULL,
    fired_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome     text NOT NULL CHECK (outcome IN ('fired', 'skipped', 'missed', 'late', 'failed')),
    reason      text,
    job_id      uuid,
    PRIMARY KEY (schedule_id, planned_at)
);

-- What retention deletes, oldest first
CREATE INDEX occurrences_by_age ON occurrences (fired_at);

CREATE TABLE queues (
    name      text PRIMARY KEY,
    paused_at timestamptz,
    reason    text
);

CREATE TABLE workers (
    name        text PRIMARY KEY,
    pool        text NOT NULL,
    host        text NOT NULL,
    pid         integer NOT NULL,
    version     text NOT NULL,
    queues      text[] NOT NULL,
    threads     integer NOT NULL,
    tasks       text[] NOT NULL,
    running     integer NOT NULL DEFAULT 0,
    memory_bytes bigint,
    draining    boolean NOT NULL DEFAULT false,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    stopped_at  timestamptz,
    stop_reason text
);

-- One row: which filling of Redis the column `dispatched_at` speaks of
CREATE TABLE redis_epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    epoch  text NOT NULL
);
INSERT INTO redis_epoch (epoch) VALUES ('none');
