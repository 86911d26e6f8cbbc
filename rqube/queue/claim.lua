-- Moves ids from queues straight into RQ's registry of work in progress, in order of the queues.
-- Touches:
--   rq:suspended                  string: while it exists nothing is claimed
--   rqube:paused                  set: queues of which nothing is claimed
--   rq:queue:<queue>              list: ids leave at the head
--   rq:queue:<queue>:intermediate list: ids that a waiting worker took leave it
--   rq:wip:<queue>                sorted set: id:execution is added
--   rq:job:<id>                   hash: status, started_at, last_heartbeat, worker_name
--   rq:execution:<id>:<execution> hash: written, expires
--   rq:worker:<name>              hash: state and current_job
--   rq:worker:<name>:executions   set: id:execution is added, expires
-- KEYS: the queues' lists. ARGV: now as RQ writes it, worker, execution, how many,
--   seconds until abandoned, then queue position and id of each that was taken already.
-- Gives {positions of queues that are paused or suspended, position and id of each claimed}.
local now = redis.call('TIME')[1]  -- one clock for all who write and read scores
local moment, worker, execution = ARGV[1], ARGV[2], ARGV[3]
local wanted, abandoned = tonumber(ARGV[4]), tonumber(ARGV[5])
local suspended = redis.call('EXISTS', 'rq:suspended') == 1
local paused, closed = {}, {}
for position, list in ipairs(KEYS) do
  if suspended or redis.call('SISMEMBER', 'rqube:paused', string.sub(list, 10)) == 1 then
    paused[position] = true
    closed[#closed + 1] = position
  end
end

local claimed, members = {}, {}
local last
local function take(position, id)
  local queue = string.sub(KEYS[position], 10)
  local member = id .. ':' .. execution
  local key = 'rq:execution:' .. member
  redis.call('ZADD', 'rq:wip:' .. queue, tonumber(now) + abandoned, member)
  redis.call('HSET', key, 'id', execution, 'job_id', id, 'created_at', now, 'last_heartbeat', now,
    'worker_name', worker)
  redis.call('EXPIRE', key, abandoned)
  if redis.call('EXISTS', 'rq:job:' .. id) == 1 then
    redis.call('HSET', 'rq:job:' .. id, 'status', 'started', 'started_at', moment,
      'last_heartbeat', moment, 'worker_name', worker)
  end
  members[#members + 1] = member
  claimed[#claimed + 1] = position
  claimed[#claimed + 1] = id
  last = id
end

for i = 6, #ARGV, 2 do
  local position, id = tonumber(ARGV[i]), ARGV[i + 1]
  local list = KEYS[position]
  redis.call('LREM', list .. ':intermediate', 1, id)
  if paused[position] or #members >= wanted then
    redis.call('LPUSH', list, id)
  else
    take(position, id)
  end
end
for position, list in ipairs(KEYS) do
  if not paused[position] and #members < wanted then
    local ids = redis.call('LPOP', list, wanted - #members)
    if ids then
      for _, id in ipairs(ids) do take(position, id) end
    end
  end
end
if last then
  redis.call('SADD', 'rq:worker:' .. worker .. ':executions', unpack(members))
  redis.call('EXPIRE', 'rq:worker:' .. worker .. ':executions', abandoned * 10)
  if redis.call('EXISTS', 'rq:worker:' .. worker) == 1 then
    redis.call('HSET', 'rq:worker:' .. worker, 'state', 'busy', 'current_job', last)
  end
end
return {closed, claimed}
