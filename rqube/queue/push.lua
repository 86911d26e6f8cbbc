-- Appends jobs to their queues, unless a queue's window is full.
-- Touches:
--   rq:queues              set: the queue's key is added
--   rq:queue:<queue>       list: the id is appended, or put at the head
--   rq:job:<id>            hash: RQ's record of the job is written
--   rq:failed|canceled:<queue> sorted sets: an id that runs again leaves them
--   rqube:backlog:<queue>  string: set when the window is full, so that later jobs wait their turn
-- ARGV: window, 1 for the relay or 0, record seconds, now, then for each job:
--   id, queue, 1 for the head or 0, created_at, description, timeout, data
-- Gives the ids that did not fit.
local window = tonumber(ARGV[1])
local is_relay = ARGV[2] == '1'
local record_seconds = ARGV[3]
local now = ARGV[4]
local room, is_closed = {}, {}
local left = {}
for i = 5, #ARGV, 7 do
  local id, queue, at_head = ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1'
  local list = 'rq:queue:' .. queue
  if room[queue] == nil then
    room[queue] = window - redis.call('LLEN', list)
    is_closed[queue] = not is_relay and redis.call('EXISTS', 'rqube:backlog:' .. queue) == 1
    redis.call('SADD', 'rq:queues', list)
  end
  local fits = room[queue] > 0 and not is_closed[queue]
  -- What goes to the head need not wait for what is older, up to a second window's length.
  if at_head then fits = room[queue] > -window end
  if not fits then
    left[#left + 1] = id
    redis.call('SET', 'rqube:backlog:' .. queue, '1', 'EX', 60)
  else
    room[queue] = room[queue] - 1
    local record = 'rq:job:' .. id
    local added = redis.call('HSET', record, 'status', 'queued', 'origin', queue,
      'created_at', ARGV[i + 3], 'enqueued_at', now, 'description', ARGV[i + 4],
      'timeout', ARGV[i + 5], 'data', ARGV[i + 6],
      'result_ttl', record_seconds, 'failure_ttl', record_seconds)
    if added < 9 then  -- the record of an earlier run, about to expire
      redis.call('PERSIST', record)
      redis.call('ZREM', 'rq:failed:' .. queue, id)
      redis.call('ZREM', 'rq:canceled:' .. queue, id)
    end
    redis.call(at_head and 'LPUSH' or 'RPUSH', list, id)
  end
end
return left
