include: [spice.vms.web]
spice:
  schedules:
    maggies-days:
      days: [mon, tue]
      hours: 08:00-18:00
  grants:
    maggie-web: {user: maggie, vm: web, schedule: maggies-days}
