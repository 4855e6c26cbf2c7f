-- Shows a manifest. One server does it at a time, so that the segments of one server are enough; who it is
-- does not matter, and another takes over when it falls silent.
--
-- KEYS  1 manifest  2 head  3 desk       ARGV  1 manifest  2 epoch  3 who  4 milliseconds
if redis.call('HGET', KEYS[2], 'e') ~= ARGV[2] then return 0 end
local sits = redis.call('GET', KEYS[3])
if sits and sits ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[4])
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1]) end
return 1
