-- The buckets of the limits: each key holds the time (microseconds of Redis) at which a bucket will have been
-- paid off, and is gone by then. For each key, ARGV has what to add and the most that the bucket can owe; to
-- add less than nothing drops it. Answers how long each takes until it is paid off.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local owed = {}
for i, key in ipairs(KEYS) do
  local price, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  if price < 0 then
    redis.call('DEL', key)
    owed[i] = 0
  else
    local due = math.max(tonumber(redis.call('GET', key) or '0') or 0, now)
    -- What was just added may stand over the edge, so that who added it can see that there was no room.
    due = math.min(due + price, now + window + price)
    redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000))
    owed[i] = due - now
  end
end
return owed
