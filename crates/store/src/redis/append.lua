-- Appends one batch to a feed's stream, if it continues exactly what is there.
--
-- KEYS  1 stream  2 head  3.. index entries
-- ARGV  1 epoch  2 first  3 last  4 batch  5 as_of  6 chain before `first`  7 chain after `last`
--       8 trim: entries below this id may go  9 name of a new beginning, or '' when none is allowed
--       10.. index entries
-- Numbers that become text stay the text that they came as: Lua would print large ones rounded.
local STREAM, HEAD = KEYS[1], KEYS[2]
local epoch, first, last = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local known = redis.call('HMGET', HEAD, 'e', 's', 'h', 'i')
local at_epoch, at_seq, chain = known[1] or '0', known[2] or '0', known[3] or ''
local head_epoch, head_seq = tonumber(at_epoch) or 0, tonumber(at_seq) or 0

local function answer(word) return {word, at_epoch, at_seq, known[4] or ''} end

if head_epoch > epoch then return answer('FENCED') end
if head_epoch == epoch then
  if last <= head_seq then return answer('DUP') end
  if first <= head_seq then return answer('OVERLAP') end
  if first > head_seq + 1 then return answer('BEHIND') end
  -- Whoever wrote the head must have read the same records, and its batch must still be there.
  local newest = redis.call('XREVRANGE', STREAM, '+', '-', 'COUNT', 1)
  if chain ~= ARGV[6] or not newest[1] or newest[1][1] ~= at_epoch .. '-' .. at_seq then
    return answer('ALTERED')
  end
elseif ARGV[9] == '' then
  return answer('EMPTY')
else
  -- Entries without a head, or of an older epoch, are no part of what begins now.
  redis.call('DEL', STREAM)
  redis.call('HSET', HEAD, 'x', 'building', 'i', ARGV[9], 'f', ARGV[2])
end

redis.call('XADD', STREAM, 'MINID', '~', ARGV[8], ARGV[1] .. '-' .. ARGV[3], 'b', ARGV[4])
redis.call('HSET', HEAD, 'e', ARGV[1], 's', ARGV[3], 't', ARGV[5], 'h', ARGV[7])
join(3, 10)
return {'OK', ARGV[1], ARGV[3], ''}
