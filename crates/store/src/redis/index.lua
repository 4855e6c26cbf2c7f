-- The index: what has ended, for readers that ask for one token at a time. A join, like everything in the
-- feed: values and times only grow, so that it may be written again, late, and in any order.

local function remember_until(key, seconds)
  if redis.call('TTL', key) < 0 then redis.call('EXPIREAT', key, seconds)
  else redis.call('EXPIREAT', key, seconds, 'GT') end
end

local function greater(value, held) return tonumber(value) > (tonumber(held or '-1') or -1) end

-- The key of each entry stands in KEYS from `first_key` on; field ('' for a plain value), value and expiry
-- in seconds stand in ARGV from `first_arg` on.
local function join(first_key, first_arg)
  for i = first_key, #KEYS do
    local at = first_arg + (i - first_key) * 3
    local key, field, value = KEYS[i], ARGV[at], ARGV[at + 1]
    if field == '' then
      if greater(value, redis.call('GET', key)) then redis.call('SET', key, value, 'KEEPTTL') end
    elseif value == '' then
      redis.call('HSET', key, field, '')
    elseif greater(value, redis.call('HGET', key, field)) then
      redis.call('HSET', key, field, value)
    end
    remember_until(key, ARGV[at + 2])
  end
end

