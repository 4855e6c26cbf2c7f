-- Writes index entries from before the stream. Writes nothing when the feed has begun again meanwhile.
--
-- KEYS  1 head  2.. index entries
-- ARGV  1 name of the beginning  2 '1' when these are the last  3.. index entries
if redis.call('HGET', KEYS[1], 'i') ~= ARGV[1] then return 0 end
join(2, 3)
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], 'x', 'full') end
return 1
