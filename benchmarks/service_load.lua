-- Mixed operations for wrk: lives of sessions, each opened, read, touched, updated over its version, read and closed.
-- wrk does not say which connection asks, so whoever asks next goes on with the session that has waited longest;
-- every answer carries the session's id, and with it goes how far that session is.
local agent = string.rep("x", 400)
local headers = {["Content-Type"] = "application/json"}
local opening = '{"kind":"device","owner":"owner-%d","idle":3600,"data":{"lang":"en","agent":"' .. agent .. '","step":1}}'
local updated = '{"lang":"en","agent":"' .. agent .. '","step":2}'
local steps = {"read", "touch", "update", "read", "close"}
local first, last, waiting, place, version = 1, 0, {}, {}, {}
local threads = {}
opened, answered, refused = 0, 0, 0

function setup(thread)
  table.insert(threads, thread)
end

function request()
  if first > last then
    opened = opened + 1
    return wrk.format("POST", "/v1/sessions", headers, string.format(opening, opened % 1000))
  end
  local id = waiting[first]
  waiting[first] = nil
  first = first + 1
  local step = steps[place[id]]
  if step == "read" then
    return wrk.format("GET", "/v1/sessions/" .. id, headers)
  elseif step == "update" then
    local guarded = {["Content-Type"] = "application/json", ["If-Match"] = '"' .. version[id] .. '"'}
    return wrk.format("PUT", "/v1/sessions/" .. id .. "/data", guarded, updated)
  end
  return wrk.format("POST", "/v1/sessions/" .. id .. "/" .. step, headers)
end

function response(status, _, body)
  answered = answered + 1
  local id = string.match(body, '"id":"(%x+)"')
  if status >= 300 or id == nil then
    refused = refused + 1
    return
  end
  version[id] = string.match(body, '"version":(%d+)')
  place[id] = (place[id] or 0) + 1
  if steps[place[id]] == nil then
    place[id], version[id] = nil, nil
  else
    last = last + 1
    waiting[last] = id
  end
end

function done(summary, latency)
  local refusals = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do
    refusals = refusals + thread:get("refused")
  end
  io.write(string.format('{"requests":%d,"seconds":%f,"refused":%d,"p50":%f,"p99":%f}\n', summary.requests,
    summary.duration / 1e6, refusals, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
