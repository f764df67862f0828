-- The places of a fleet: what each gateway has claimed of them, for five seconds.
--
-- KEYS  the claims; the epoch of the fleet
-- ARGV  the gateway; how many places there are; how many it has taken, wants, holds
-- gives how many it has claimed; how many nobody has
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local me, most = ARGV[1], tonumber(ARGV[2])
local taken, wanted, held = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

-- Where all claims were lost, the others have yet to make theirs again.
local epoch = redis.call('GET', KEYS[2])
local lost = epoch and tonumber(string.match(epoch, ' (%d+)$')) / 1000 or now
if now - lost < 2000 then wanted = math.min(wanted, held) end

local others = 0
local claims = redis.call('HGETALL', KEYS[1])
for i = 1, #claims, 2 do
  if claims[i] ~= me then
    local claim, ends = string.match(claims[i + 1], '^(%d+) (%d+)$')
    if tonumber(ends) < now then
      redis.call('HDEL', KEYS[1], claims[i])
    else
      others = others + tonumber(claim)
    end
  end
end
local claim = math.max(taken, math.min(wanted, most - others))
if claim > 0 then
  redis.call('HSET', KEYS[1], me, string.format('%d %.0f', claim, now + 5000))
  redis.call('PEXPIRE', KEYS[1], 6000)
else
  redis.call('HDEL', KEYS[1], me)
end
return {claim, math.max(0, most - others - claim)}
