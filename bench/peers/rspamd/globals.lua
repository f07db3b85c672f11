-- What the modules expect of rspamd.lua, without the rules that it brings along.
require "global_functions"()
