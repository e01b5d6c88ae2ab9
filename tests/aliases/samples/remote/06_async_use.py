import asyncio
from sankhya_sdk import AsyncSankhyaContext

async def main():
    async with AsyncSankhyaContext.from_settings() as ctx:
        # Operações assíncronas
        partners = await ctx.wrapper.find_async(Partner, "CODPARC > 0")
        
        # Múltiplas requisições em paralelo
        tasks = [
            ctx.wrapper.find_async(Partner, f"CODPARC = {i}")
            for i in range(1, 10)
        ]
        results = await asyncio.gather(*tasks)

asyncio.run(main())
