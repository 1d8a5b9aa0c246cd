# Runs one attempt so that it outlives the connection, or finds the one that runs. Read with its reasons in
# docs/adr/0012-remote-protocol.md. The lines before this one set douse_id, douse_mode (start, attach, stop), douse_age,
# douse_part, douse_boot_file and, if the command may be started, douse_s: the script of the command.
set -f
douse_nl='
'

# Says the last word on both streams: what it says on stdout is `end:STATE:EXIT:STARTED:OUT_DROPPED:ERR_DROPPED:TEXT`.
douse_end() {
  printf '\ndouse:%s:end:%s\n' "$douse_id" "$1"
  printf '\ndouse:%s:end:\n' "$douse_id" >&2
  exit 0
}

# State and start time of process $1: together with the boot they name a process for ever.
douse_look() {
  douse_l=
  { IFS= read -r douse_l <"/proc/$1/stat"; } 2>/dev/null || return 1
  set -- ${douse_l##*) }
  case $1 in Z | X) return 1 ;; esac
  douse_st=${20}
}

# A folder of the user's own that nobody else can write or replace.
douse_is_ours() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ -w "$1" ]
}

# The folders in which a record may be, the best first: one that survives a reboot, so that a claim does.
douse_places() {
  case ${HOME-} in /*) douse_home=$HOME/.cache/douse ;; *) douse_home= ;; esac
  douse_u=$(id -u)
  douse_all="$douse_home$douse_nl/var/tmp/.douse-$douse_u$douse_nl/tmp/.douse-$douse_u"
}

# Makes the claim in folder $1: only the first can, and only when it can be written down.
douse_claim() {
  douse_f=$1/$douse_id
  set -C
  if { printf '' >"$douse_f"; } 2>/dev/null; then set +C; else set +C; return 1; fi
  if { printf 'claim %s %s %s\n' "$douse_b" "$$" "$douse_st" >>"$douse_f" \
    && printf '' >>"$douse_f.o0" && printf '' >>"$douse_f.e0"; } 2>/dev/null \
    && { IFS= read -r douse_l <"$douse_f"; } 2>/dev/null && [ "$douse_l" = "claim $douse_b $$ $douse_st" ]; then
    return 0
  fi
  rm -f "$douse_f" "$douse_f.o0" "$douse_f.e0" 2>/dev/null
  return 1
}

# Sets douse_f to a fresh claim; $1 is a folder or a list of folders, one a line.
douse_settle() {
  douse_ifs=$IFS
  IFS=$douse_nl
  for douse_d in $1; do
    IFS=$douse_ifs
    douse_is_ours "$douse_d" || { mkdir -p "${douse_d%/*}" && mkdir -m 700 "$douse_d"; } 2>/dev/null
    if douse_is_ours "$douse_d"; then
      douse_claim "$douse_d" && return 0
      # Somebody was faster.
      [ -e "$douse_d/$douse_id" ] && return 1
    fi
  done
  IFS=$douse_ifs
  return 2
}

# Reads the record: each fact is one line, appended whole.
douse_read() {
  douse_c= douse_p= douse_ps= douse_x= douse_n=0
  while read -r douse_k douse_v1 douse_v2 douse_v3; do
    case $douse_k in
      claim) douse_c=$douse_v1 douse_p=$douse_v2 douse_ps=$douse_v3 ;;
      supervisor) douse_p=$douse_v1 douse_ps=$douse_v2 ;;
      exit) douse_x=$douse_v1 ;;
      full) douse_n=$((douse_n + 1)) ;;
    esac
  done <"$douse_f"
}

# TERM for the command's group: the gentle part of an end, for who has no second connection.
douse_term() {
  douse_k=
  { read -r douse_k douse_g douse_v2 <"$douse_f.s"; } 2>/dev/null
  [ "$douse_k" = start ] && kill -TERM "-$douse_g" 2>/dev/null
}

# What the command has printed since the last time; the shells that share a descriptor share its place in the file.
douse_news() {
  [ -s "$douse_f.o0" ] && cat <&3 2>/dev/null
  [ -s "$douse_f.e0" ] && cat <&4 >&2 2>/dev/null
}

# The parts of stream $1 after its head, and how much was dropped between.
douse_tail() {
  douse_i= douse_dropped=0
  [ -e "$douse_f.$1i" ] && read -r douse_i douse_dropped <"$douse_f.$1i"
  if [ -n "$douse_i" ]; then
    [ "$douse_i" -gt 1 ] && cat "$douse_f.$1$((douse_i - 1))" 2>/dev/null
    cat "$douse_f.$1$douse_i" 2>/dev/null
  fi
}

# Sends what is left, and ends with state $1.
douse_finish() {
  douse_news
  douse_tail o
  douse_od=$douse_dropped
  douse_tail e >&2
  douse_k=
  { read -r douse_k douse_v1 <"$douse_f.s"; } 2>/dev/null
  douse_y=0 douse_state=$1
  case $douse_k in start) douse_y=1 ;; void) douse_state=void ;; esac
  douse_end "$douse_state:${douse_x:-}:$douse_y:$douse_od:$douse_dropped:"
}

# Waits for what another connection has started. The other side sends a line when it wants to know.
douse_attach() {
  printf '' >>"$douse_f.o0"
  printf '' >>"$douse_f.e0"
  { exec 3<"$douse_f.o0" 4<"$douse_f.e0"; } 2>/dev/null
  printf '\ndouse:%s:found:\n' "$douse_id"
  while :; do
    douse_read
    if [ -n "$douse_awaits_reboot" ] && [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; then
      douse_finish rebooted
    elif [ -n "$douse_x" ]; then
      [ "$douse_n" -ge 2 ] && douse_finish exit
    elif [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; then
      douse_finish rebooted
    elif [ -z "$douse_p" ] || ! douse_look "$douse_p" || [ "$douse_st" != "$douse_ps" ]; then
      # It may have ended between the two looks.
      douse_read
      if [ -z "$douse_x" ]; then
        # Claimed, and then whoever was to start it ended. The command's first act is to make this file: who makes it
        # first decides. So a second start does no harm, should the first one still come.
        if [ -n "$douse_s" ] && [ ! -e "$douse_f.s" ]; then
          douse_look "$$"
          printf 'claim %s %s %s\n' "$douse_b" "$$" "$douse_st" >>"$douse_f"
          douse_start
        fi
        set -C
        { printf 'void\n' >"$douse_f.s"; } 2>/dev/null
        set +C
        douse_k=
        { read -r douse_k douse_v1 <"$douse_f.s"; } 2>/dev/null
        [ "$douse_k" = void ] && douse_finish void
        douse_finish gone
      fi
      continue
    fi
    IFS= read -r douse_t || exit 0
    [ "$douse_t" = stop ] && douse_term
    douse_news
    [ "$douse_t" = now ] && { douse_read; douse_finish "${douse_x:+exit}"; }
  done
}

# Takes stream $1 from a pipe and keeps a head and a tail of it, so that a command that prints for ever fills no disk
# and never waits for a reader. It ends when the last writer has closed, and it must not end before.
douse_keep() {
  trap '' TERM HUP INT QUIT PIPE
  douse_i=0 douse_before=0 douse_dropped=0 douse_bs=16384 douse_count=16
  while :; do
    douse_r=$(LC_ALL=C dd "bs=$douse_bs" "count=$douse_count" 2>&1 >>"$douse_f.$1$douse_i") && douse_ok=1 || douse_ok=0
    douse_r=${douse_r%% records in*}
    douse_r=${douse_r##*"$douse_nl"}
    case $douse_r in *[!0-9+]* | '') cat >/dev/null; break ;; esac
    # Fewer reads than asked for: the end; or the disk is full, and then the next read finds the end.
    [ "$(($douse_r))" -eq 0 ] && break
    if [ "$douse_ok" = 0 ]; then
      douse_dropped=$((douse_dropped + douse_bs))
      printf '%s %s\n' "$douse_i" "$douse_dropped" >"$douse_f.$1i"
      continue
    fi
    [ "$(($douse_r))" -lt "$douse_count" ] && break
    douse_size=$(wc -c <"$douse_f.$1$douse_i")
    [ "$douse_size" -lt "$douse_part" ] && continue
    if [ "$douse_i" -gt 1 ]; then
      rm -f "$douse_f.$1$((douse_i - 1))"
      douse_dropped=$((douse_dropped + douse_before))
    fi
    douse_before=$douse_size
    # More than the head: many bytes a process from here on.
    douse_i=$((douse_i + 1)) douse_bs=65536 douse_count=32
    printf '%s %s\n' "$douse_i" "$douse_dropped" >"$douse_f.$1i"
  done 2>/dev/null
  printf 'full %s\n' "$1" >>"$douse_f"
  printf 'full\n'
}

# Starts the command in a session of its own, waits for it, and writes its exit code down before anything else.
douse_run() {
  trap : TERM HUP INT QUIT
  # What the shell itself has to say about the command's end is no output of the command.
  exec 7>&2 2>/dev/null
  IFS= read -r douse_l </proc/self/stat
  douse_p=${douse_l%% *}
  set -- ${douse_l##*) }
  printf 'supervisor %s %s\n' "$douse_p" "${20}" >>"$douse_f"
  printf '%s' "$douse_s" | setsid /bin/sh -s "$douse_f" "$douse_p" 2>&7 7>&- 8>&- 9>&-
  douse_x=$?
  douse_k= douse_t=
  { read -r douse_k douse_v1 douse_v2 douse_t <"$douse_f.s"; } 2>/dev/null
  # Not of one that came second and started nothing.
  if [ -z "$douse_k" ] || [ "$douse_t" = "$douse_p" ]; then printf 'exit %s\n' "$douse_x" >>"$douse_f"; fi
  printf 'exit %s\n' "$douse_x" >&9
}

# Says which process groups run the claimed command, for a kill; or makes sure that there never will be any.
douse_stop() {
  douse_read
  if [ -n "$douse_x" ] || { [ -n "$douse_c" ] && [ "$douse_c" != "$douse_b" ]; }; then douse_end "over:::::"; fi
  set -C
  if { printf 'void\n' >"$douse_f.s"; } 2>/dev/null; then douse_end "void:::::"; fi
  set +C
  douse_k=
  { read -r douse_k douse_g douse_gs douse_v1 <"$douse_f.s"; } 2>/dev/null
  [ "$douse_k" = start ] || douse_end "void:::::"
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

# Runs the claimed command and tells of it for as long as somebody listens.
douse_start() {
  exec 3<"$douse_f.o0" 4<"$douse_f.e0" 5<&0
  {
    { while IFS= read -r douse_t; do printf '%s\n' "$douse_t"; done; } <&5 3<&- 4<&- 5<&- &
    { { douse_run 2>&1 >&8 | douse_keep e >&9; } 8>&1 | douse_keep o >&9; } 9>&1 3<&- 4<&- 5<&-
  } </dev/null 2>/dev/null | {
    exec 5<&-
    # Not before: a shell that cannot write because nobody listens any more must not end with the claim in its hand.
    printf '\ndouse:%s:found:\n' "$douse_id"
    douse_n=0 douse_x=
    while read -r douse_k douse_v1; do
      case $douse_k in
        exit) douse_x=$douse_v1 douse_n=$((douse_n + 1)); printf '\ndouse:%s:exit:\n' "$douse_id" ;;
        full) douse_n=$((douse_n + 1)) ;;
        now) douse_n=3 ;;
        stop) douse_term ;;
        *) douse_news ;;
      esac
      [ "$douse_n" -ge 3 ] && break
    done
    # The shell outside waits for whoever holds the output open, and sshd would wait for that shell.
    trap 'kill "$$"' EXIT
    douse_finish "${douse_x:+exit}"
  }
  exit 0
}

for douse_t in setsid dd cat wc rm mkdir id; do
  command -v "$douse_t" >/dev/null 2>&1 || douse_end "nowhere:::::the host has no program \`$douse_t\`"
done
douse_b=
{ IFS= read -r douse_b <"$douse_boot_file"; } 2>/dev/null
if [ -z "$douse_b" ]; then
  # Containers without the file: the second of the boot says nearly as much.
  { while read -r douse_k douse_v1; do [ "$douse_k" = btime ] && douse_b=btime-$douse_v1; done </proc/stat; } 2>/dev/null
fi
if [ -z "$douse_b" ] || ! douse_look "$$"; then
  douse_end "nowhere:::::/proc tells neither the boot nor when a process began"
fi

if [ "$douse_mode" != start ]; then
  douse_places
  douse_ifs=$IFS
  IFS=$douse_nl
  for douse_d in $douse_all; do
    IFS=$douse_ifs
    if [ -e "$douse_d/$douse_id" ] && [ -O "$douse_d" ] && [ ! -L "$douse_d" ]; then
      douse_f=$douse_d/$douse_id
      "douse_$douse_mode"
    fi
  done
  IFS=$douse_ifs
fi
if [ "$douse_mode" = attach ]; then
  # Never claimed. That counts only if nothing of it can have been lost with a boot.
  douse_up=0
  { read -r douse_up douse_v1 </proc/uptime; } 2>/dev/null
  douse_up=${douse_up%%.*}
  [ "$douse_up" -gt "$douse_age" ] || douse_end "unknown:::::the host was started anew since then, and has no trace of it"
  [ -n "${douse_s-}" ] || douse_end "absent:::::"
fi

# Claims in the first place that can be written, and goes on from there; what another has claimed is found, not started.
douse_go() {
  douse_settle "$1"
  case $?$douse_mode in
    0stop) douse_stop ;;
    0*) douse_start ;;
    1*) "douse_${2:-attach}" ;;
  esac
}
douse_other=attach
[ "$douse_mode" = stop ] && douse_other=stop
case ${HOME-} in /*) douse_go "$HOME/.cache/douse" "$douse_other" ;; esac
douse_places
douse_go "/var/tmp/.douse-$douse_u$douse_nl/tmp/.douse-$douse_u" "$douse_other"
douse_end "nowhere:::::no folder of the user's own can be written: ~/.cache/douse, /var/tmp/.douse-$douse_u, /tmp/.douse-$douse_u"
