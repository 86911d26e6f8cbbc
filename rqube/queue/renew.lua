-- Refreshes what RQ holds of running jobs, and restores what a flush took. What was settled between
-- the caller's look and this is left alone: its record is there, and says how it ended.
-- Touches:
--   rq:wip:<queue>                sorted set: the score moves on
--   rq:execution:<id>:<execution> hash: last_heartbeat, expires
--   rq:executions:<id>            sorted set: the execution, expires
--   rq:worker:<name>:executions   set: id:execution, expires
--   rq:job:<id>                   hash: last_heartbeat, kept; written whole when it is gone
--   rq:queues                     set: the queue's key
-- ARGV: now as RQ writes it, worker, seconds until abandoned, then for each job:
--   queue, id, execution, started (seconds), description, timeout, data
local now = tonumber(redis.call('TIME')[1])
local moment, worker, abandoned = ARGV[1], ARGV[2], tonumber(ARGV[3])
local index = 'rq:worker:' .. worker .. ':executions'
for i = 4, #ARGV, 7 do
  local queue, id, execution, started = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local member = id .. ':' .. execution
  local record, key = 'rq:job:' .. id, 'rq:execution:' .. member
  local status = redis.call('HGET', record, 'status')
  if not status or status == 'started' or status == 'queued' then
    redis.call('ZADD', 'rq:wip:' .. queue, now + abandoned, member)
    redis.call('HSET', key, 'id', execution, 'job_id', id, 'created_at', started,
      'last_heartbeat', now, 'worker_name', worker)
    redis.call('EXPIRE', key, abandoned)
    redis.call('ZADD', 'rq:executions:' .. id, now + abandoned, execution)
    redis.call('EXPIRE', 'rq:executions:' .. id, abandoned)
    redis.call('SADD', index, member)
    if not status then
      redis.call('HSET', record, 'status', 'started', 'origin', queue, 'created_at', moment,
        'enqueued_at', moment, 'started_at', moment, 'description', ARGV[i + 4],
        'timeout', ARGV[i + 5], 'data', ARGV[i + 6])
    end
    redis.call('HSET', record, 'last_heartbeat', moment, 'worker_name', worker)
    redis.call('PERSIST', record)
    redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  end
end
redis.call('EXPIRE', index, abandoned * 10)
return 1
