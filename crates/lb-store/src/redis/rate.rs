//! A rate's step as a script: [`RateQuota::step`](lb_types::store::RateQuota::step) by the server's clock.
//!
//! Lua's numbers are doubles, exact to 2⁵³. Nanoseconds since 1970 are more than that, so the instant at which the debt ends is kept as
//! seconds and nanoseconds apart, and only the debt itself is one number: exact up to 104 days of debt, within 4 ns up to 366.
//!
//! The server replicates what the script wrote, not the script: replicas do not ask their own clocks.

/// `KEYS[1]`, what the cost adds to the debt, the most debt there can be (both ns). Says whether it is admitted, and the debt after it.
pub(super) const STEP: &str = "\
local time = redis.call('TIME')
local now_s, now_ns = tonumber(time[1]), tonumber(time[2]) * 1000
local cost, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local debt = 0
local ends = redis.call('GET', KEYS[1])
if ends then
  local s, ns = string.match(ends, '^(%d+) (%d+)$')
  if not s then return redis.error_reply('NORATE the key holds no rate') end
  debt = (tonumber(s) - now_s) * 1e9 + (tonumber(ns) - now_ns)
  debt = math.min(math.max(debt, 0), capacity)
end
if debt + cost > capacity then return {0, debt} end
debt = debt + cost
if cost > 0 then
  local ns = now_ns + debt
  ends = string.format('%d %d', now_s + math.floor(ns / 1e9), ns % 1e9)
  redis.call('SET', KEYS[1], ends, 'PX', string.format('%d', math.ceil(debt / 1e6)))
end
return {1, debt}";
