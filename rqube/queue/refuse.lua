-- Sets aside a job that is not ours: it goes unexecuted to RQ's registry of failed jobs.
-- Touches:
--   rq:wip:<queue>                sorted set: id:execution leaves it
--   rq:execution:<id>:<execution> hash: deleted
--   rq:worker:<name>:executions   set: id:execution leaves it
--   rq:job:<id>                   hash: status failed, ended_at
--   rq:results:<id>               stream: the reason
--   rq:failed:<queue>             sorted set: the id is added
-- ARGV: now as RQ writes it, worker, queue, id, execution, reason, seconds kept
local now = tonumber(redis.call('TIME')[1])
local moment, worker, queue = ARGV[1], ARGV[2], ARGV[3]
local id, execution, reason, seconds = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local member = id .. ':' .. execution
redis.call('ZREM', 'rq:wip:' .. queue, member)
redis.call('DEL', 'rq:execution:' .. member)
redis.call('SREM', 'rq:worker:' .. worker .. ':executions', member)
if redis.call('EXISTS', 'rq:job:' .. id) == 0 then return 0 end
redis.call('HSET', 'rq:job:' .. id, 'status', 'failed', 'ended_at', moment)
redis.call('XADD', 'rq:results:' .. id, 'MAXLEN', '10', '*', 'type', '2', 'exc_string', reason,
  'worker_name', worker, 'execution_id', execution)
redis.call('EXPIRE', 'rq:results:' .. id, seconds)
redis.call('ZADD', 'rq:failed:' .. queue, now + seconds, id)
return 1
