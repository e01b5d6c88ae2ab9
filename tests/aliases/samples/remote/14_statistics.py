# Obtém estatísticas
stats = ctx.get_session_stats()
print(f"Sessões ativas: {stats['active_sessions']}")
print(f"Total de sessões criadas: {stats['total_created']}")
print(f"Sessões finalizadas: {stats['total_finalized']}")
print(f"Renovações de token: {stats['token_renewals']}")
