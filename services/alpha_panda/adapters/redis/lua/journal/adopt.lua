-- ARGV: lease key, lease epoch, run id, then entries, each with 1 if it was learnt with the event of its state, else
-- 0. What knows more of an order wins.

-- late, then stage, then what has filled.
local function is_further(learnt, entry)
  local function stage(of) return IN_DOUBT[of.state] and 0 or RESTS[of.state] and 1 or 2 end
  if learnt.late ~= entry.late then return learnt.late > entry.late end
  if stage(learnt) ~= stage(entry) then return stage(learnt) > stage(entry) end
  return learnt.filled_order > entry.filled_order
end

-- Whether the event that the entry was learnt with is that of the entry as it will be, and nothing is left to tell.
-- Revision 0: no order event, risk's rejection was told.
local function is_told(learnt, known, told)
  if told ~= '1' then return false end -- guard: adopted told
  if not terminal(learnt) then return false end -- guard: adopted terminal
  local least = known and tonumber(known.revision) or 0
  if learnt.revision ~= '0' and tonumber(learnt.revision) <= least then return false end -- guard: adopted revision
  return true
end

local function adopt(learnt, told)
  local known = find(learnt.id, learnt.tag)
  if known and not is_further(learnt, known) then return end -- guard: further
  local done = is_told(learnt, known, told)
  if not done or learnt.revision == '0' then
    local least = math.max(tonumber(learnt.revision), known and tonumber(known.revision) + 1 or 0)
    learnt.revision = revision_after(least)
    learnt.updated_at = '0'
  end
  -- Told again, its event must be the very same.
  if learnt.updated_at == '0' then learnt.updated_at = as_ns(now) end
  if known then
    learnt.created_at = known.created_at
  elseif learnt.created_at == '0' then
    learnt.created_at = as_ns(now)
  end
  put(learnt)
  if done then redis.call('ZREM', OPEN, learnt.id) end
end

if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: adopt lease
if run_id() ~= ARGV[4] then return fenced('run ' .. ARGV[4] .. ' of the store is over') end -- guard: adopt run
for index = 5, #ARGV, 2 do
  adopt(cmsgpack.unpack(ARGV[index]), ARGV[index + 1])
end
return redis.status_reply('OK')
