#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Made by make-vendor-data.

set -eu

# place MODE PATH
place() {
    mkdir -p "${2%/*}"
    cat >"$2.new"
    chmod "$1" "$2.new"
    mv "$2.new" "$2"
}

place 0755 /usr/local/sbin/nova-xen-overcommit-publisher <<\END_OF_FILE
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Tells the Xen host what memory this guest uses, so that it takes what is
# idle and gives back what is needed. Looks each second and writes to
# xenstore, below data/, when something changed, at the latest each 5 s.
#
# Needs a POSIX shell (dash, busybox ash, ...), Linux and root; no tools: a
# look starts no process, and a message to xenstore is a write to its
# device. What may be set in the environment:
#
#   NXO_PERIOD_S         longest time between two writes, in seconds (5)
#   NXO_XENSTORE_WRITE   command to use instead of the device, for example
#                        xenstore-write; it is given paths and values in turn
#   NXO_XENBUS           xenstore's device (/dev/xen/xenbus, or that of xenfs)
#   NXO_PROC             where procfs is (/proc)
#   NXO_ROUNDS           end after so many looks (0: never)
#   NXO_SELF_BALLOON     yes: move the guest's own balloon towards its need
#                        (no); works without an agent on the host, too
#   NXO_FLOOR_KIB        the least it then leaves the guest, in KiB (0: by
#                        the guest's size, and what its swap can't hold)
#   NXO_BALLOON          where the balloon is in sysfs

set -u

proc=${NXO_PROC:-/proc}
xenbus=${NXO_XENBUS:-}
write_command=${NXO_XENSTORE_WRITE:-}
period_s=${NXO_PERIOD_S:-5}
rounds=${NXO_ROUNDS:-0}
self_balloon=${NXO_SELF_BALLOON:-no}
floor=${NXO_FLOOR_KIB:-0}
balloon=${NXO_BALLOON:-/sys/devices/system/xen_memory/xen_memory0}
# In how many looks more than is known to be allowed is tried once.
try_each=30

# --- Waiting without starting a process, where the shell can ---------------

# A pipe that nobody writes to: reading it with a time limit is a pause.
open_pause() {
    can_read_in_time=no
    pipe=${TMPDIR:-/tmp}/.nova-xen-overcommit.$$
    # Asked in a process of its own: some shells end at an unknown option.
    # shellcheck disable=SC3045
    (printf '\n' | (read -r -t 1 _)) 2>/dev/null || return 0
    (umask 077 && mkfifo "$pipe") 2>/dev/null || return 0
    exec 3<>"$pipe" && can_read_in_time=yes
    rm -f "$pipe"
}

pause_1_s() {
    if [ "$can_read_in_time" = yes ]; then
        # shellcheck disable=SC3045
        read -r -t 1 _ <&3 || :
    else
        sleep 1
    fi
}

# --- What the kernel says --------------------------------------------------

read_meminfo() {
    mem_total=0 mem_available=-1 mem_free=0 mem_cache=0
    swap_total=0 swap_free=0
    while read -r name value _; do
        case $name in
            MemTotal:) mem_total=$value ;;
            MemFree:) mem_free=$value ;;
            MemAvailable:) mem_available=$value ;;
            Buffers: | Cached:) mem_cache=$((mem_cache + value)) ;;
            SwapTotal:) swap_total=$value ;;
            # The last one of interest, and reading costs by the byte.
            SwapFree:) swap_free=$value && break ;;
        esac
    done <"$proc/meminfo"
    # Kernels before 3.14 don't say what is available.
    [ "$mem_available" -ge 0 ] || mem_available=$((mem_free + mem_cache))
    [ "$mem_available" -le "$mem_total" ] || mem_available=$mem_total
}

# Nothing comes in from an empty swap: saves reading a long file.
may_have_swapped() {
    [ "$swap_free" -ne "$swap_total" ] || [ "$waited_s" -ge "$period_s" ]
}

read_swap_activity() {
    [ -r "$proc/vmstat" ] || return 0
    while read -r name value; do
        case $name in
            pswpin) swap_in=$((value * page_kib)) ;;
            pswpout) swap_out=$((value * page_kib)) && break ;;
        esac
    done <"$proc/vmstat"
}

# "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234"; no such file, or one
# that can't be read, where the kernel was built or booted without PSI.
read_pressure() {
    psi_some=-1
    [ -r "$proc/pressure/memory" ] || return 0
    { read -r name _ _ _ value || return 0; } \
        2>/dev/null <"$proc/pressure/memory"
    case $name$value in
        sometotal=*) psi_some=${value#total=} ;;
    esac
}

# --- Moving its own balloon ------------------------------------------------

# Gives in $floor, in KiB, the least for a guest of so many KiB, as the agent
# reckons: the minimum of Xen 3.3's xenballoond, and what a kernel of today
# keeps for itself.
floor_for() {
    floor=$((296 * 1024 + $1 / 2048))
    [ "$1" -ge $((2000 * 1024)) ] || floor=$((104 * 1024 + $1 / 512))
    [ "$1" -ge $((500 * 1024)) ] || floor=$((40 * 1024 + $1 / 256))
    [ "$1" -ge $((125 * 1024)) ] || floor=$((8 * 1024 + $1 / 128))
    floor=$((floor + 48 * 1024 + $1 / 64))
    [ "$floor" -le "$1" ] || floor=$1
}

# Gives in $size what the guest was built for, in KiB, wherever its balloon
# is: the kernel counts pages in the balloon as present.
read_size() {
    size=0
    [ -r "$proc/zoneinfo" ] || return 0
    while read -r name value _; do
        [ "$name" != present ] || size=$((size + value * page_kib))
    done <"$proc/zoneinfo"
}

read_balloon() {
    read -r target <"$balloon/target_kb" &&
        read -r current <"$balloon/info/current_kb"
}

can_set_balloon() {
    read_balloon && echo "$target" >"$balloon/target_kb"
}

open_balloon() {
    [ "$self_balloon" = yes ] || return 0
    if ! can_set_balloon 2>/dev/null; then
        echo "${0##*/}: $balloon can't be used, the host balances" >&2
        self_balloon=no
        return 0
    fi
    cap=$target own=$target untried=0
    read_size
    [ "$size" -ge "$cap" ] || size=$cap
    floor_is_set=yes
    if [ "$floor" -eq 0 ]; then
        floor_for "$size"
        floor_is_set=no
    fi
    trap 'close_balloon; exit 0' INT TERM
}

# Nobody else in the guest lets it grow.
close_balloon() {
    echo "$cap" >"$balloon/target_kb"
}

# What the host allows can't be read, but a target that isn't ours is the
# host's. An earlier process of ours may have set the first one, and one of
# the host's may be lost in ours: so more is tried, and seldom, since a kernel
# that may not grow tries on and on.
learn_cap() {
    if [ "$target" -ne "$own" ]; then
        cap=$target untried=$try_each
    elif [ "$own" -gt "$cap" ]; then
        if [ "$current" -gt $((cap + 4096)) ]; then
            cap=$current
        else
            untried=$try_each
        fi
    fi
    [ "$target" -le "$cap" ] || target=$cap
}

# Gives in $least what is left to the guest in any case. What its swap can't
# hold when it uses all it was built for is never given away: programs that
# want it back at once would be killed before the balloon has moved.
read_least() {
    least=$floor
    [ "$floor_is_set" = no ] || return 0
    [ "$least" -ge $((size - swap_total)) ] || least=$((size - swap_total))
}

# Grows at once and shrinks by a tenth of the gap, after xenballoond. $more
# is what it wants beyond what it has, also when the host doesn't allow it.
choose() {
    read_balloon || return 0
    seen_target=$target
    learn_cap
    used=$((current - mem_available + swap_total - swap_free))
    room=$((used / 10 + 32 * 1024))
    need=$((used + room))
    raise_if_starved
    read_least
    [ "$need" -ge "$least" ] || need=$least
    chosen=$target
    if [ "$need" -gt "$target" ]; then
        chosen=$need
    elif [ $((target - need)) -gt $((mem_total / 64)) ]; then
        chosen=$((target - (target - need) / 10))
    fi
    more=$((chosen - current))
    set_balloon
}

is_starved() {
    [ "$mem_available" -lt $((room / 4)) ] ||
        [ "$swap_in" -gt "$seen_swap_in" ]
}

# Half as much again for who is starved, and all that is allowed for who is
# starved twice in a row: how much it lacks can't be seen.
raise_if_starved() {
    if ! is_starved; then
        starved=0
        return
    fi
    seen_swap_in=$swap_in starved=$((starved + 1))
    [ "$need" -ge $((current + current / 2)) ] ||
        need=$((current + current / 2))
    [ "$starved" -lt 2 ] || [ "$need" -ge "$cap" ] || need=$cap
}

set_balloon() {
    # Beyond what it was built for the kernel would add memory to itself.
    limit=$size
    [ "$untried" -eq 0 ] || limit=$cap
    [ "$limit" -ge "$cap" ] || limit=$cap
    if [ "$chosen" -gt "$limit" ]; then
        chosen=$limit
        [ "$untried" -eq 0 ] || untried=$((untried - 1))
    fi
    # The kernel reckons in pages.
    chosen=$((chosen / page_kib * page_kib))
    # A word of the host's that came meanwhile is for the next look.
    read_balloon && [ "$target" -eq "$seen_target" ] || return 0
    own=$chosen
    [ "$own" -eq "$target" ] || echo "$own" >"$balloon/target_kb"
}

# --- Whether it is worth a message -----------------------------------------

far() {
    [ $(($1 - $2)) -ge "$threshold" ] || [ $(($2 - $1)) -ge "$threshold" ]
}

is_due() {
    [ "$waited_s" -ge "$period_s" ] && return
    threshold=$((mem_total / 64 + 1))
    [ "$swap_in" -ne "$told_swap_in" ] || [ "$psi_some" -ne "$told_psi" ] ||
        far "$mem_total" "$told_total" ||
        far "$mem_available" "$told_available" ||
        far "$swap_free" "$told_swap_free" ||
        far "$more" "$told_more"
}

# --- Telling it ------------------------------------------------------------

# Gives in $octal the escape of one byte for printf.
escape() {
    octal="\\$(($1 / 64))$(($1 / 8 % 8))$(($1 % 8))"
}

# One XS_WRITE as in Xen's public header io/xs_wire.h: type 11, request and
# transaction 0, length of the rest, each 32 bits; then path, NUL, value.
message() {
    length=$((${#1} + 1 + ${#2}))
    escape $((length % 256)) && low=$octal
    escape $((length / 256)) && high=$octal
    none='\000\000\000\000'
    # shellcheck disable=SC2059
    printf "\\013\\000\\000\\000$none$none$low$high\\000\\000%s\\000%s" \
        "$1" "$2"
}

# The device is closed after each time: what xenstore answers is let go.
write_to_device() {
    [ -e "$xenbus" ] || return 1
    while [ $# -ge 2 ]; do
        message "$1" "$2"
        shift 2
    done >"$xenbus"
}

write_to_xenstore() {
    if [ -n "$write_command" ]; then
        # shellcheck disable=SC2086
        $write_command "$@"
    else
        write_to_device "$@"
    fi
}

tell() {
    line="v=1 seq=$seq mem_total_kib=$mem_total"
    line="$line mem_available_kib=$mem_available"
    line="$line swap_total_kib=$swap_total swap_free_kib=$swap_free"
    line="$line swap_in_kib=$swap_in swap_out_kib=$swap_out"
    line="$line psi_some_us=$psi_some period_s=$period_s"
    [ "$self_balloon" != yes ] || line="$line self_more_kib=$more"
    write_to_xenstore data/nova_xen_overcommit "$line" \
        data/meminfo_total "$mem_total" data/meminfo_free "$mem_available" \
        || return
    seq=$((seq + 1)) waited_s=0
    told_total=$mem_total told_available=$mem_available
    told_swap_free=$swap_free told_swap_in=$swap_in told_psi=$psi_some
    told_more=$more
}

# --- Start -----------------------------------------------------------------

find_xenbus() {
    for device in /dev/xen/xenbus /proc/xen/xenbus; do
        [ -e "$device" ] && xenbus=$device && return
    done
    [ -d /proc/xen ] && mount -t xenfs xenfs /proc/xen 2>/dev/null
    return 1
}

wait_for_xenstore() {
    [ -z "$write_command$xenbus" ] || return 0
    until find_xenbus; do
        sleep 1
    done
}

# Without this process the host would leave the guest alone, whatever its
# need: the kernel shouldn't choose it when memory runs out.
survive() {
    [ -w /proc/self/oom_score_adj ] || return 0
    { echo -900 >/proc/self/oom_score_adj; } 2>/dev/null || :
}

page_kib=4
if command -v getconf >/dev/null 2>&1; then
    page_kib=$(($(getconf PAGESIZE) / 1024))
fi
survive
open_pause
more=0 told_more=0 seen_swap_in=0 starved=0
open_balloon
wait_for_xenstore

seq=1 waited_s=$period_s round=0
swap_in=0 swap_out=0
told_total=0 told_available=0 told_swap_free=0 told_swap_in=0 told_psi=0
while :; do
    read_meminfo
    read_pressure
    may_have_swapped && read_swap_activity
    [ "$round" -gt 0 ] || seen_swap_in=$swap_in
    [ "$self_balloon" != yes ] || choose
    [ "$mem_total" -gt 0 ] && is_due && tell
    round=$((round + 1))
    [ "$round" -ne "$rounds" ] || exit 0
    pause_1_s
    waited_s=$((waited_s + 1))
done
END_OF_FILE

place 0644 /etc/default/nova-xen-overcommit-publisher <<\END_OF_FILE
# SPDX-License-Identifier: Apache-2.0
# What nova-xen-overcommit-publisher is started with.

# yes: the guest moves its own balloon, also where the host has no agent.
NXO_SELF_BALLOON=no
# The least it then keeps, in KiB; 0: by the guest's size.
NXO_FLOOR_KIB=0
END_OF_FILE

if [ -d /run/systemd/system ]; then

place 0644 /etc/systemd/system/nova-xen-overcommit-publisher.service <<\END_OF_FILE
# SPDX-License-Identifier: Apache-2.0
[Unit]
Description=Tell the Xen host what memory this guest uses
ConditionVirtualization=xen

[Service]
EnvironmentFile=-/etc/default/nova-xen-overcommit-publisher
ExecStart=/usr/local/sbin/nova-xen-overcommit-publisher
Restart=always
RestartSec=5
# Guests in need of memory must be heard most of all.
OOMScoreAdjust=-900
CPUWeight=1000
NoNewPrivileges=yes
PrivateNetwork=yes
PrivateTmp=yes
ProtectHome=yes

[Install]
WantedBy=multi-user.target
END_OF_FILE

systemctl daemon-reload
systemctl enable nova-xen-overcommit-publisher.service
# Not waited for: cloud-init's own unit may come before it.
systemctl restart --no-block nova-xen-overcommit-publisher.service
else

place 0755 /etc/init.d/nova-xen-overcommit-publisher <<\END_OF_FILE
#!/sbin/openrc-run
# SPDX-License-Identifier: Apache-2.0

description="Tell the Xen host what memory this guest uses"
command="/usr/local/sbin/nova-xen-overcommit-publisher"
pidfile="/run/nova-xen-overcommit-publisher.pid"
supervisor="supervise-daemon"
respawn_delay=5
respawn_max=0

settings=/etc/default/nova-xen-overcommit-publisher
if [ -r "$settings" ]; then
    set -a
    . "$settings"
    set +a
fi

depend() {
    need localmount
}
END_OF_FILE

rc-update add nova-xen-overcommit-publisher default
rc-service nova-xen-overcommit-publisher restart
fi
