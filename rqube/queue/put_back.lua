-- Puts ids back at the head of their queue that a worker took and then vanished with.
-- Touches:
--   rq:queue:<queue>:intermediate list: ids leave it
--   rq:queue:<queue>              list: ids are put at the head
-- KEYS: the queue's list. ARGV: ids. Gives how many were still there.
local moved = 0
for _, id in ipairs(ARGV) do
  if redis.call('LREM', KEYS[1] .. ':intermediate', 1, id) == 1 then
    redis.call('LPUSH', KEYS[1], id)
    moved = moved + 1
  end
end
return moved
