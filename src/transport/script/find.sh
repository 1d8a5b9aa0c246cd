# Finds an attempt that another connection has claimed, or makes sure that it never starts. Comes before `hold.sh`.

# Reads the record: each fact is one line, appended whole.
douse_read() {
  douse_c= douse_p= douse_ps= douse_x= douse_n=
  while read -r douse_k douse_v1 douse_v2 douse_v3; do
    case $douse_k in
      claim) douse_c=$douse_v1 douse_p=$douse_v2 douse_ps=$douse_v3 ;;
      exit) douse_x=$douse_v1 ;;
      full) douse_n=$douse_n$douse_v1 ;;
    esac
  done <"$douse_f"
}

# Who makes this file first decides: the command has started, or it never will. An empty one was made a moment ago; then
# the first line decides. When the disk is full it may stay empty, and nothing is known.
douse_void() {
  set -C
  if { printf '' >"$douse_f.s"; } 2>/dev/null; then douse_k=void; else douse_k=; fi
  set +C
  [ -s "$douse_f.s" ] || { printf 'void\n' >>"$douse_f.s"; } 2>/dev/null
  [ -n "$douse_k" ] || { read -r douse_k douse_g douse_gs douse_v1 <"$douse_f.s"; } 2>/dev/null
}

# For who may not start it: it never will be, also not by a connection whose words are still on their way.
douse_never() {
  douse_void
  douse_end "absent:::::"
}

# Waits for what another connection has started. The other side sends a line when it wants to know.
douse_attach() {
  douse_told=
  printf '\ndouse:%s:found:\n' "$douse_id"
  while :; do
    douse_read
    if [ -n "$douse_awaits_reboot" ] && [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; then
      douse_finish rebooted
    elif [ -n "$douse_x" ]; then
      case $douse_n in *o*e* | *e*o*) douse_finish exit ;; esac
      # What it has left behind may print for ever.
      [ -n "$douse_told" ] || printf '\ndouse:%s:exit:\n' "$douse_id"
      douse_told=1
    elif [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; then
      douse_finish rebooted
    elif [ -z "$douse_p" ] || ! douse_look "$douse_p" || [ "$douse_st" != "$douse_ps" ]; then
      # It may have ended between the two looks.
      douse_read
      if [ -z "$douse_x" ]; then
        # Claimed, and then whoever was to start it ended. The command's first act is to make a file: who makes it
        # first decides. So a second start does no harm, should the first one still come.
        if [ -n "$douse_s" ] && [ ! -e "$douse_f.s" ] && douse_pipes "$douse_f.p$$"; then
          douse_look "$$"
          printf 'claim %s %s %s\n' "$douse_b" "$$" "$douse_st" >>"$douse_f"
          douse_start
        fi
        douse_void
        [ "$douse_k" = void ] && douse_finish void
        douse_finish gone
      fi
      continue
    fi
    # Nobody may have asked yet for what waits in the pipes: a connection that stands still asks for nothing.
    { [ -p "/proc/$douse_p/fd/7" ] && printf 'keep\n' 1<>"/proc/$douse_p/fd/7"; } 2>/dev/null
    IFS= read -r douse_t || exit 0
    [ "$douse_t" = stop ] && douse_term
    douse_news
    [ "$douse_t" = now ] && { douse_read; douse_finish "${douse_x:+exit}"; }
  done
}

# Says which process groups run the claimed command, for a kill; or makes sure that there never will be any.
douse_stop() {
  douse_read
  if [ -n "$douse_x" ] || { [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; }; then douse_end "over:::::"; fi
  douse_void
  case $douse_k in
    start) ;;
    '') douse_end "unknown:::::its record cannot be written" ;;
    *) douse_end "void:::::" ;;
  esac
  # The number may be another process's by now; while a member of the group lives it cannot be.
  if douse_look "$douse_g" && [ "$douse_st" != "$douse_gs" ]; then douse_g=; fi
  douse_h=
  if [ -e "$douse_f.o0" ]; then
    douse_n=0
    while [ "$douse_n" -lt 200 ] && IFS= read -r douse_l; do
      case $douse_l in *"douse:$douse_id:become:"*) douse_h=${douse_l##*:}; break ;; esac
      douse_n=$((douse_n + 1))
    done <"$douse_f.o0"
  fi
  douse_end "groups:$douse_g:$douse_h:::"
}

# Looks in each place; comes back when nobody has claimed it in any.
douse_find() {
  douse_u=$(id -u)
  case ${HOME-} in /*) douse_places=$HOME/.cache/douse$douse_nl ;; *) douse_places= ;; esac
  douse_places="$douse_places/var/tmp/.douse-$douse_u$douse_nl/tmp/.douse-$douse_u"
  douse_ifs=$IFS
  IFS=$douse_nl
  for douse_d in $douse_places; do
    IFS=$douse_ifs
    if [ -e "$douse_d/$douse_id" ] && [ -O "$douse_d" ] && [ ! -L "$douse_d" ]; then
      douse_f=$douse_d/$douse_id
      "douse_$douse_mode"
    fi
  done
  IFS=$douse_ifs
  [ "$douse_mode" = attach ] || return
  # Never claimed. That counts only if nothing of it can have been lost with a boot.
  douse_up=0
  { read -r douse_up douse_v1 </proc/uptime; } 2>/dev/null
  [ "${douse_up%%.*}" -gt "$douse_age" ] || douse_end "unknown:::::the host was started anew since then, and has no trace of it"
}
