-- Leases: the decisions of `kernel.leases`, on tables that were read for this operation and are written after it.

local DISPLACED = 7

-- The time that leases go by: the server's, which stands still during a call, or the one that the store was given.
function S.lease_now(at)
  if S.by_clock then return at end
  if not S.time then
    local time = call('TIME')
    S.time = tonumber(time[1]) + tonumber(time[2]) / 1e6
  end
  return S.time
end

-- Each is read and unpacked once in a call, and written once at its end: when many ask for one at the same time, each
-- of them would else pay for all who wait before it.
local function lease_of(name)
  local lease = S.leases_read[name]
  if lease == nil then
    local text = call('GET', S.P .. 'l' .. name)
    lease = text and cmsgpack.unpack(text)
    S.leases_read[name] = lease
  end
  return lease or nil
end

-- When the last of its permits and tickets runs out; nothing is lost with it after that.
local function last_until(lease)
  local last = 0
  for _, holder in ipairs(lease.holders) do
    last = math.max(last, holder['until'])
    for _, note in ipairs(holder.notes) do last = math.max(last, note['until']) end
  end
  for _, waiter in ipairs(lease.queue) do last = math.max(last, waiter['until']) end
  return last
end

local function keep(name, lease)
  S.leases_read[name] = lease and (#lease.holders > 0 or #lease.queue > 0) and lease or false
  S.leases_changed[name] = true
end

function S.drop_lease(name)
  keep(name, nil)
end

-- Write what has changed; before indexes are read, and at the end of the call.
function S.save_leases()
  for name in pairs(S.leases_changed) do
    local lease = S.leases_read[name]
    if lease then
      call('SET', S.P .. 'l' .. name, cmsgpack.pack(lease))
      call('ZADD', S.P .. 'U', last_until(lease), name)
      call('ZADD', S.P .. 'L', 0, name)
    else
      call('DEL', S.P .. 'l' .. name)
      call('ZREM', S.P .. 'U', name)
      call('ZREM', S.P .. 'L', name)
    end
  end
  S.leases_changed = {}
end

local function named(waiters, ticket)
  for place, waiter in ipairs(waiters) do
    if waiter.ticket == ticket then return place end
  end
  return nil
end

local function holder_of(lease, ticket, now)
  for place, holder in ipairs(lease.holders) do
    if holder.ticket == ticket and holder['until'] > now then return holder, place end
  end
  return nil
end

-- Without what has run out; notes taken under a lost permit wait again, in front.
local function swept(lease, now)
  lease = lease or {holders = {}, queue = {}}
  local holders, queue = {}, {}
  for _, holder in ipairs(lease.holders) do
    if holder['until'] > now then
      holders[#holders + 1] = holder
    else
      for _, note in ipairs(holder.notes) do
        if note['until'] > now then queue[#queue + 1] = note end
      end
    end
  end
  for _, waiter in ipairs(lease.queue) do
    if waiter['until'] > now then queue[#queue + 1] = waiter end
  end
  lease.holders, lease.queue = holders, queue
  return lease
end

function S.fenced(fence, at)
  local lease = lease_of(fence.lease)
  local holder = lease and holder_of(lease, fence.ticket, S.lease_now(at))
  return not holder or holder.token ~= fence.token or holder.void
end

-- The holder goes on, and with `take` has the notes of all who wait by now.
local function hold_on(lease, holder, till, take)
  if holder.void then return {0, LOST} end
  if take then
    local queue = {}
    for _, waiter in ipairs(lease.queue) do
      if waiter.note then holder.notes[#holder.notes + 1] = waiter else queue[#queue + 1] = waiter end
    end
    lease.queue = queue
  end
  holder['until'] = math.max(till, holder['until'])
  local notes = {}
  for _, waiter in ipairs(holder.notes) do
    if waiter.note then notes[#notes + 1] = waiter.note end
  end
  return {1, holder.token, text_of(holder['until']), notes}
end

-- Where the ticket stands in the queue; a displacing one comes before those that only wait.
local function place_of(lease, ask)
  for place, waiter in ipairs(lease.queue) do
    if waiter.ticket == ask.ticket or (ask.displace and not waiter.displaces) then return place end
  end
  return #lease.queue + 1
end

local function without(waiters, ticket)
  local rest = {}
  for _, waiter in ipairs(waiters) do
    if waiter.ticket ~= ticket then rest[#rest + 1] = waiter end
  end
  return rest
end

-- Void the permit that was granted first, if none is free or voided already.
local function displace(lease, ask, now)
  if #lease.holders < ask.permits then return end
  local victim
  for _, holder in ipairs(lease.holders) do
    if holder.void then return end
    if not victim or holder.token < victim.token then victim = holder end
  end
  victim.void, victim['until'] = true, math.min(victim['until'], now + ask.grace)
  S.log(DISPLACED, now, id_of_text(ask.lease), '~lease', '', victim.token, '', id_of_text(victim.ticket), ask.node)
end

local function wait(lease, ask, place, now)
  if ask.displace then displace(lease, ask, now) end
  lease.queue = without(lease.queue, ask.ticket)
  table.insert(lease.queue, place,
    {ticket = ask.ticket, ['until'] = now + ask.ttl, note = ask.note, displaces = ask.displace})
  local look = math.huge
  for _, holder in ipairs(lease.holders) do look = math.min(look, holder['until']) end
  for other = 1, place - 1 do look = math.min(look, lease.queue[other]['until']) end
  return {2, text_of(look), place - 1, 0}
end

local function acquired(lease, ask, now)
  local holder = holder_of(lease, ask.ticket, now)
  if holder then return hold_on(lease, holder, now + ask.ttl, ask.take) end
  for _, keeper in ipairs(lease.holders) do
    local taken = named(keeper.notes, ask.ticket)
    if taken then
      -- A taken ticket that goes on asking lives on: it waits again should the permit be lost.
      keeper.notes[taken]['until'] = now + ask.ttl
      return {2, text_of(keeper['until']), 0, 1}
    end
  end
  local known = named(lease.queue, ask.ticket)
  if ask.again and not known then return {0, TAKEN} end
  local place = place_of(lease, ask)
  if place == 1 and #lease.holders < ask.permits then
    lease.queue = without(lease.queue, ask.ticket)
    holder = {ticket = ask.ticket, token = S.next_number(), ['until'] = now + ask.ttl, void = false, notes = {}}
    table.insert(lease.holders, holder)
    return hold_on(lease, holder, holder['until'], ask.take)
  end
  if not known and ask.queue and #lease.queue >= ask.queue then return {0, FULL} end
  return wait(lease, ask, place, now)
end

function S.acquire(args, place)
  local ask = {lease = args[place], ticket = args[place + 1], ttl = num(args[place + 3]),
    permits = tonumber(args[place + 4]), queue = tonumber(args[place + 5]), displace = args[place + 8] == '1',
    grace = num(args[place + 9]), take = args[place + 10] == '1', again = args[place + 11] == '1',
    node = args[place + 12]}
  if args[place + 6] == '1' then ask.note = args[place + 7] end
  local now = S.lease_now(num(args[place + 2]))
  local lease = lease_of(ask.lease)
  if not lease and not ask.again then
    -- Nobody holds it or waits: what nearly always is.
    local token, till = S.next_number(), now + ask.ttl
    keep(ask.lease, {holders = {{ticket = ask.ticket, token = token, ['until'] = till, void = false, notes = {}}},
      queue = {}})
    return {1, token, text_of(till), {}}
  end
  lease = swept(lease, now)
  local answer = acquired(lease, ask, now)
  -- The next in the queue may have asked before this one, which stood in its way.
  if answer[1] == 1 and #lease.queue > 0 and #lease.holders < ask.permits then S.handed_on = true end
  keep(ask.lease, lease)
  return answer
end

function S.renew(args, place)
  local name, ticket, token = args[place], args[place + 1], tonumber(args[place + 2])
  local now = S.lease_now(num(args[place + 3]))
  local lease = swept(lease_of(name), now)
  local holder = holder_of(lease, ticket, now)
  local answer
  if not holder or holder.token ~= token or holder.void then
    answer = {0, LOST}
  else
    answer = hold_on(lease, holder, now + num(args[place + 4]), args[place + 5] == '1')
  end
  keep(name, lease)
  return answer
end

function S.release(args, place)
  local name, ticket, now = args[place], args[place + 1], S.lease_now(num(args[place + 2]))
  local lease = lease_of(name)
  if not lease then return {3, 1, false} end
  local holder = lease.holders[1]
  if #lease.holders == 1 and #lease.queue == 0 and holder.ticket == ticket and #holder.notes == 0 then
    S.drop_lease(name)
    return {3, 1, false}
  end
  lease = swept(lease, now)
  local answer
  if args[place + 3] == '1' and #lease.queue > 0 and holder_of(lease, ticket, now) then
    answer = {3, 0, lease.queue[1].ticket}
  else
    lease.holders = without(lease.holders, ticket)
    lease.queue = without(lease.queue, ticket)
    for _, holder in ipairs(lease.holders) do
      -- A ticket that gives up while its note is taken does not wait again, should the permit be lost.
      local taken = named(holder.notes, ticket)
      if taken then holder.notes[taken]['until'] = now end
    end
    answer = {3, 1, #lease.queue > 0 and lease.queue[1].ticket}
  end
  if #lease.queue > 0 then S.handed_on = true end
  keep(name, lease)
  return answer
end

-- Names that begin with a prefix, after a name, in the order of their bytes.
function S.leases(prefix, after, most)
  S.save_leases()
  local from = (after == '' or before(after, prefix)) and '[' .. prefix or '(' .. after
  if from == '[' then from = '-' end
  local to = prefix == '' and '+' or '(' .. prefix .. '\255'
  local views = {}
  for place, name in ipairs(call('ZRANGEBYLEX', S.P .. 'L', from, to, 'LIMIT', 0, most)) do
    local lease, holders, waiting = lease_of(name), {}, {}
    for _, holder in ipairs(lease.holders) do holders[#holders + 1] = holder.ticket end
    for _, waiter in ipairs(lease.queue) do waiting[#waiting + 1] = waiter.ticket end
    views[place] = {name, holders, waiting}
  end
  return views
end

function S.leases_over(by, most)
  S.save_leases()
  return call('ZRANGEBYSCORE', S.P .. 'U', '-inf', text_of(S.lease_now(by)), 'LIMIT', 0, most)
end
