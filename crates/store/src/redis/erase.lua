-- Removes stream and head, unless the feed has begun again since it was looked at.
--
-- KEYS  1 stream  2 head       ARGV  1 name of the beginning that was seen
if (redis.call('HGET', KEYS[2], 'i') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
