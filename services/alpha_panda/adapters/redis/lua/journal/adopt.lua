-- ARGV: lease key, lease epoch, run id, then entries. What knows more of an order wins.

-- late, then stage, then what has filled.
local function is_further(learnt, entry)
  local function stage(of) return IN_DOUBT[of.state] and 0 or RESTS[of.state] and 1 or 2 end
  if learnt.late ~= entry.late then return learnt.late > entry.late end
  if stage(learnt) ~= stage(entry) then return stage(learnt) > stage(entry) end
  return learnt.filled_order > entry.filled_order
end

local function adopt(learnt)
  local known = find(learnt.id, learnt.tag)
  if known and not is_further(learnt, known) then return end -- guard: further
  local least = math.max(tonumber(learnt.revision), known and tonumber(known.revision) + 1 or 0)
  learnt.revision, learnt.updated_at = revision_after(least), as_ns(now)
  if known then
    learnt.created_at = known.created_at
  elseif learnt.created_at == '0' then
    learnt.created_at = as_ns(now)
  end
  put(learnt)
end

if stale_lease(ARGV[2], ARGV[3]) then return fenced('the order-tracker lease of epoch ' .. ARGV[3] .. ' is stale') end -- guard: adopt lease
if run_id() ~= ARGV[4] then return fenced('run ' .. ARGV[4] .. ' of the store is over') end -- guard: adopt run
for index = 5, #ARGV do
  adopt(cmsgpack.unpack(ARGV[index]))
end
return redis.status_reply('OK')
