-- A gateway says that it is there, and hears how many there are.
--
-- The epoch is made once and tells whether what is kept here was lost: a gateway that knew another one, or knew one where
-- there is none, says so.
--
-- KEYS  the gateways; the epoch of the fleet
-- ARGV  the gateway; the epoch that it knows, or nothing; a new one
-- gives the epoch; how many gateways there are
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local me, known, new = ARGV[1], ARGV[2], ARGV[3]

local epoch = redis.call('GET', KEYS[2])
local id = epoch and string.match(epoch, '^(%S+) ')
if not id then
  id = new
  redis.call('SET', KEYS[2], string.format('%s %.0f', id, known ~= '' and now or 0))
elseif known ~= '' and known ~= id and string.match(epoch, ' 0$') then
  redis.call('SET', KEYS[2], string.format('%s %.0f', id, now))
end
redis.call('ZADD', KEYS[1], now, me)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 5000000)
return {id, redis.call('ZCARD', KEYS[1])}
