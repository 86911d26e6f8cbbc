-- Keeps RQ's records in step with outcomes that are already written in Postgres.
-- Touches:
--   rq:wip:<queue>                sorted set: id:execution leaves it
--   rq:execution:<id>:<execution> hash: deleted
--   rq:executions:<id>            sorted set: deleted
--   rq:worker:<name>:executions   set: id:execution leaves it
--   rq:worker:<name>              hash: counters, state, current_job
--   rq:job:<id>                   hash: status and ended_at, expires; deleted when dropped
--   rq:results:<id>               stream: the error of a failed job, expires; deleted by success
--   rq:finished|failed|canceled:<queue> sorted sets: the id is added, old ones leave
-- ARGV: now as RQ writes it, worker, seconds and number of records kept,
--   1 when the worker is idle or 0, working seconds, runs that succeeded, runs that failed,
--   then for each job: queue, id, execution,
--   status (finished, failed, canceled, scheduled, left as it is, dropped), error text
local now = tonumber(redis.call('TIME')[1])
local moment, worker = ARGV[1], ARGV[2]
local seconds, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local registries = {finished = 'rq:finished:', failed = 'rq:failed:', canceled = 'rq:canceled:'}
local members, grown = {}, {}

local function forget(id)
  redis.call('DEL', 'rq:job:' .. id, 'rq:results:' .. id)
end

for i = 9, #ARGV, 5 do
  local queue, id, execution, status, text =
    ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local member = id .. ':' .. execution
  local record = 'rq:job:' .. id
  redis.call('ZREM', 'rq:wip:' .. queue, member)
  redis.call('DEL', 'rq:execution:' .. member, 'rq:executions:' .. id)
  if status == 'finished' then redis.call('DEL', 'rq:results:' .. id) end
  members[#members + 1] = member
  if status == 'dropped' or (status ~= 'left' and seconds == 0) then
    forget(id)
  elseif registries[status] and redis.call('EXISTS', record) == 1 then
    local registry = registries[status] .. queue
    redis.call('HSET', record, 'status', status, 'ended_at', moment)
    redis.call('EXPIRE', record, seconds)
    redis.call('ZADD', registry, now + seconds, id)
    grown[registry] = true
    if text ~= '' then
      local results = 'rq:results:' .. id
      redis.call('XADD', results, 'MAXLEN', '10', '*', 'type', '2', 'exc_string', text,
        'worker_name', worker, 'execution_id', execution)
      redis.call('EXPIRE', results, seconds)
    end
  elseif status == 'scheduled' and redis.call('EXISTS', record) == 1 then
    -- It waits in Postgres, where it may be cancelled: the record must end by itself.
    redis.call('HSET', record, 'status', 'scheduled')
    redis.call('EXPIRE', record, seconds)
  end
end

for registry in pairs(grown) do
  redis.call('ZREMRANGEBYSCORE', registry, '-inf', now)
  local over = redis.call('ZCARD', registry) - most
  if over > 0 then
    local oldest = redis.call('ZPOPMIN', registry, over)
    for i = 1, #oldest, 2 do forget(oldest[i]) end
  end
end

local key = 'rq:worker:' .. worker
if #members > 0 then redis.call('SREM', key .. ':executions', unpack(members)) end
if redis.call('EXISTS', key) == 1 then
  redis.call('HINCRBYFLOAT', key, 'total_working_time', ARGV[6])
  redis.call('HINCRBY', key, 'successful_job_count', ARGV[7])
  redis.call('HINCRBY', key, 'failed_job_count', ARGV[8])
  if ARGV[5] == '1' then
    redis.call('HSET', key, 'state', 'idle')
    redis.call('HDEL', key, 'current_job')
  end
end
return #members
