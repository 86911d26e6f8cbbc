-- Moves due entries of rq-scheduler into their queues, each once per planned time whoever moves
-- them: an entry is touched only while its score is still the one that was read.
-- Touches:
--   rq:scheduler:scheduled_jobs     sorted set: the entry gets its next score, or goes
--   rq:job:<id>                     hash: status, enqueued_at, a time limit if it has none, meta
--   rq:queues                       set: the queue's key is added
--   rq:queue:<queue>                list: the id is appended, or put at the head
--   rq:deferred:<queue>             sorted set: the id is added while a dependency is unfinished
--   rq:job:<dependency>:dependents  set: the id is added, as before
--   rq:job::<id>:dependencies       set: the dependency is added, as before (two colons, as RQ)
-- ARGV: now in unix seconds, now as RQ writes it, the score of what is set aside, then for each
--   entry: id, the score read, the next score or '' for none, then 'aside', 'forget', or a queue's
--   name after 'tail ' or 'head '; meta or '' to leave it; ttl in seconds or ''; dependencies in
--   JSON or ''; 1 when they may fail, or 0.
-- Gives, for each entry: 1 when it was dealt with here, 0 when its score was another, or in words
--   why Redis refused it; such a one is set aside.
local entries = 'rq:scheduler:scheduled_jobs'
local now, moment, aside = ARGV[1], ARGV[2], ARGV[3]

local function is_unfinished(dependency, may_fail)
  local status = redis.call('HGET', 'rq:job:' .. dependency, 'status')
  return status and status ~= 'finished' and not (may_fail and status == 'failed')
end

local function must_wait(dependencies, may_fail)
  for _, dependency in ipairs(dependencies) do
    if is_unfinished(dependency, may_fail) then return true end
  end
  return false
end

local function defer(id, queue, dependencies)
  redis.call('ZADD', 'rq:deferred:' .. queue, math.floor(tonumber(now)), id)
  for _, dependency in ipairs(dependencies) do
    redis.call('SADD', 'rq:job:' .. dependency .. ':dependents', id)
    redis.call('SADD', 'rq:job::' .. id .. ':dependencies', dependency)
  end
  redis.call('HSET', 'rq:job:' .. id, 'status', 'deferred')
end

local function push(id, queue, at_head)
  redis.call(at_head and 'LPUSH' or 'RPUSH', 'rq:queue:' .. queue, id)
  redis.call('HSET', 'rq:job:' .. id, 'status', 'queued', 'enqueued_at', moment)
  redis.call('HSETNX', 'rq:job:' .. id, 'timeout', '180')
  redis.call('ZREM', 'rq:deferred:' .. queue, id)
end

local function enqueue(id, target, meta, ttl, dependencies, may_fail)
  local record, queue = 'rq:job:' .. id, string.sub(target, 6)
  dependencies = dependencies ~= '' and cjson.decode(dependencies) or {}
  if must_wait(dependencies, may_fail) then
    defer(id, queue, dependencies)
  else
    push(id, queue, string.sub(target, 1, 4) == 'head')
  end
  redis.call('SADD', 'rq:queues', 'rq:queue:' .. queue)
  if meta ~= '' then redis.call('HSET', record, 'meta', meta) end
  if ttl ~= '' then
    redis.call('EXPIRE', record, ttl)
    redis.call('EXPIRE', record .. ':dependents', ttl)
    redis.call('EXPIRE', 'rq:job::' .. id .. ':dependencies', ttl)
  end
end

local function move(i)
  local id, next_score, target = ARGV[i], ARGV[i + 2], ARGV[i + 3]
  local score = redis.call('ZSCORE', entries, id)
  if not score or tonumber(score) ~= tonumber(ARGV[i + 1]) then return 0 end
  if target == 'aside' then
    redis.call('ZADD', entries, aside, id)
    return 1
  end
  if target ~= 'forget' and redis.call('EXISTS', 'rq:job:' .. id) == 1 then
    local done, problem = pcall(enqueue, id, target, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6],
      ARGV[i + 7] == '1')
    if not done then
      redis.call('ZADD', entries, aside, id)
      return type(problem) == 'table' and problem.err or tostring(problem)
    end
  else
    next_score = ''
  end
  if next_score == '' then
    redis.call('ZREM', entries, id)
  else
    redis.call('ZADD', entries, next_score, id)
  end
  return 1
end

local answers = {}
for i = 4, #ARGV, 8 do answers[#answers + 1] = move(i) end
return answers
