-- The bucket of a rate that a fleet takes from: fills by what is taken, drains evenly, one limit's worth a minute.
--
-- KEYS  the bucket; the epoch of the fleet
-- ARGV  the limit; how many are owed, wanted, given back
-- gives how many of those wanted were given; how full the bucket is, as a text
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local most, owed, wanted, returned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local drains = most / 60000000

local level, at = 0, now
local kept = redis.call('GET', KEYS[1])
if kept then
  local before
  before, at = string.match(kept, '^(%S+) (%S+)$')
  level, at = tonumber(before), tonumber(at)
else
  -- A bucket that nobody kept is empty, unless all of them were lost a moment ago: then it was full.
  local epoch = redis.call('GET', KEYS[2])
  local lost = epoch and tonumber(string.match(epoch, ' (%d+)$')) or now
  if lost > 0 then level, at = most, lost end
end
level = math.max(0, level - math.max(0, now - at) * drains)
level = math.max(0, level + owed - returned)
local given = math.max(0, math.floor(math.min(wanted, most - level)))
level = level + given
redis.call('SET', KEYS[1], string.format('%.17g %.0f', level, now), 'PX', math.ceil(level / drains / 1000) + 1000)
return {given, string.format('%.17g', level)}
