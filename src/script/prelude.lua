-- What of the sandbox is said best in Lua: the globals that scripts find, and that nothing shared by
-- scripts can be changed. It uses no global of its own once it has run, so that no environment that a
-- script sets can reach it.
--
-- A protected table is an empty proxy whose fields are looked up in a hidden one.

local real, native = ...

local error, getmetatable, next, pairs, pcall, rawget, rawset, select, setfenv, setmetatable, type, xpcall =
  real.error, real.getmetatable, real.next, real.pairs, real.pcall, real.rawget, real.rawset,
  real.select, real.setfenv, real.setmetatable, real.type, real.xpcall
local loadstring, collectgarbage, tostring, gsub, byte, concat =
  real.loadstring, real.collectgarbage, real.tostring, real.string.gsub, real.string.byte, real.table.concat
local table_insert, table_remove, table_sort = real.table.insert, real.table.remove, real.table.sort

local READONLY = "Attempt to modify a readonly table"

-- From a proxy to the fields behind it.
local hidden = setmetatable({}, { __mode = "k" })

local function refuse()
  error(READONLY, 2)
end

local function check(t)
  if hidden[t] then
    error(READONLY, 3)
  end
end

local function protect(fields, proxy)
  proxy = proxy or {}
  hidden[proxy] = fields
  return setmetatable(proxy, { __index = fields, __newindex = refuse, __metatable = false })
end

-- Errors that Rust raises become what Redis would have raised.
local function plain(err)
  err = native.plain(err)
  if type(err) == "table" and type(rawget(err, "err")) == "string" then
    return rawget(err, "err")
  end
  return err
end

local function finish(ok, ...)
  if ok then
    return true, ...
  end
  return false, plain((...))
end

local lib = {}

lib.pcall = function(...)
  return finish(pcall(...))
end

lib.xpcall = function(f, handler)
  return xpcall(f, function(err)
    return handler(native.plain(err))
  end)
end

lib.rawset = function(t, key, value)
  check(t)
  return rawset(t, key, value)
end

lib.rawget = function(t, key)
  return rawget(hidden[t] or t, key)
end

lib.next = function(t, key)
  return next(t ~= nil and hidden[t] or t, key)
end

lib.pairs = function(t)
  return pairs(t ~= nil and hidden[t] or t)
end

lib.setmetatable = function(t, metatable)
  if t ~= nil then
    check(t)
  end
  return setmetatable(t, metatable)
end

local string_metatable, global_metatable
lib.getmetatable = function(value)
  if type(value) == "string" then
    return string_metatable
  end
  if value == real then
    return global_metatable
  end
  if value ~= nil and hidden[value] then
    return nil
  end
  return getmetatable(value)
end

lib.setfenv = function(f, environment)
  if f == 0 then
    error(READONLY, 2)
  end
  if type(f) == "number" then
    return setfenv(f + 1, environment)
  end
  return setfenv(f, environment)
end

lib.loadstring = function(text, name)
  if type(text) == "string" and byte(text) == 27 then
    return nil, "attempt to load chunk with wrong mode"
  end
  return loadstring(text, name)
end

lib.load = function(read, name)
  local pieces = {}
  while true do
    local piece = read()
    if piece == nil or piece == "" then
      break
    end
    if type(piece) ~= "string" then
      return nil, "reader function must return a string"
    end
    pieces[#pieces + 1] = piece
  end
  return lib.loadstring(concat(pieces), name or "=(load)")
end

-- Nobody may stop the collector, which is shared.
lib.collectgarbage = function(option)
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return collectgarbage(option or "collect")
  end
  return 0
end

local coroutine_resume, coroutine_wrap = real.coroutine.resume, real.coroutine.wrap
real.coroutine.resume = function(...)
  return finish(coroutine_resume(...))
end

local os_clock = real.os.clock
real.os = { clock = os_clock }

real.table.insert = function(t, ...)
  if hidden[t] then
    error(READONLY, 2)
  end
  return table_insert(t, ...)
end

real.table.remove = function(t, ...)
  if hidden[t] then
    error(READONLY, 2)
  end
  return table_remove(t, ...)
end

real.table.sort = function(t, ...)
  if hidden[t] then
    error(READONLY, 2)
  end
  return table_sort(t, ...)
end

for name, f in pairs(native.math) do
  real.math[name] = f
end

local ALLOWED = {
  "assert", "coroutine", "error", "gcinfo", "getfenv", "ipairs", "math", "os", "rawequal", "select",
  "string", "table", "tonumber", "tostring", "type", "unpack", "_VERSION",
  "bit", "cjson", "cmsgpack", "redis", "struct",
}

-- The globals that scripts see, and what is behind them.
local globals = {}
for _, name in real.ipairs(ALLOWED) do
  local value = real[name]
  if type(value) == "table" then
    value = protect(value)
  end
  globals[name] = value
end
for name, f in pairs(lib) do
  globals[name] = f
end

string_metatable = protect({ __index = globals.string })
global_metatable = protect({})
getmetatable("").__index = globals.string

-- Empties the real table of globals, so that it can be the proxy: it is the environment of all code.
local proxy = real
for name in pairs(real) do
  rawset(proxy, name, nil)
end
globals._G = proxy
local missing = {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
}
setmetatable(globals, missing)
local proxy_metatable = { __index = globals, __newindex = refuse, __metatable = false }
hidden[proxy] = globals
setmetatable(proxy, proxy_metatable)

-- What libraries find while they are loaded: nothing but their own `redis`.
local loading = setmetatable({ redis = protect(setmetatable(native.loading, missing)) }, missing)

local function set_loading(is_loading)
  proxy_metatable.__index = is_loading and loading or globals
end

local handler, kept = native.handler, native.kept

-- Runs a function, or the one that is kept at this place. Scripts find keys and arguments as globals;
-- functions get them, and must not see those of the last script. Returns whether all went well, and a
-- value or the error as a table.
local function run(f, keys, args, is_script)
  f = kept.functions[f] or f
  if is_script then
    globals.KEYS, globals.ARGV = keys, args
    return xpcall(f, handler)
  end
  globals.KEYS, globals.ARGV = nil, nil
  return xpcall(function()
    return f(keys, args)
  end, handler)
end

return run, set_loading
